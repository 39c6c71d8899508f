/** Record batches as producers write them (format v2, uncompressed): https://kafka.apache.org/documentation/#recordbatch. */

const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

export const crc32c = (bytes: Uint8Array, from: number, to: number): number => {
  let crc = -1
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ crcTable[(crc ^ bytes[i]!) & 255]!
  return ~crc >>> 0
}

const headerSize = 61

const varintSize = (value: number): number => {
  let rest = (value << 1) ^ (value >> 31)
  let size = 1
  while ((rest & ~127) !== 0) {
    rest >>>= 7
    size++
  }
  return size
}

/** Collects records until `size` is large enough, then writes them as one batch. Its buffer is reused by the next batch. */
export class BatchWriter {
  /** Bytes of the batch so far, header included. */
  size = headerSize
  count = 0
  private buffer: Buffer

  constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafeSlow(capacity)
  }

  append(key: Buffer, value: Buffer): void {
    const length =
      1 + 1 + varintSize(this.count) + varintSize(key.length) + key.length + varintSize(value.length) + value.length + 1
    this.ensure(length + 5)
    this.varint(length)
    this.buffer[this.size++] = 0
    this.buffer[this.size++] = 0
    this.varint(this.count)
    this.varint(key.length)
    this.size += key.copy(this.buffer, this.size)
    this.varint(value.length)
    this.size += value.copy(this.buffer, this.size)
    this.buffer[this.size++] = 0
    this.count++
  }

  finish(timestamp: number): Buffer {
    const b = this.buffer
    b.fill(0, 0, headerSize)
    b.writeInt32BE(this.size - 12, 8)
    b.writeInt32BE(-1, 12)
    b.writeInt8(2, 16)
    b.writeInt32BE(this.count - 1, 23)
    b.writeBigInt64BE(BigInt(timestamp), 27)
    b.writeBigInt64BE(BigInt(timestamp), 35)
    b.writeBigInt64BE(-1n, 43)
    b.writeInt16BE(-1, 51)
    b.writeInt32BE(-1, 53)
    b.writeInt32BE(this.count, 57)
    b.writeUInt32BE(crc32c(b, 21, this.size), 17)
    const batch = Buffer.from(b.subarray(0, this.size))
    this.size = headerSize
    this.count = 0
    return batch
  }

  private ensure(more: number): void {
    if (this.size + more <= this.buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.size + more))
    this.buffer.copy(larger, 0, 0, this.size)
    this.buffer = larger
  }

  private varint(value: number): void {
    let rest = (value << 1) ^ (value >> 31)
    while ((rest & ~127) !== 0) {
      this.buffer[this.size++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.buffer[this.size++] = rest
  }
}
