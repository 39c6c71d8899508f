/**
 * Requests that tests need of a cluster and the library does not make, over a plain socket: one connection per request,
 * the oldest encodings that Kafka 4 still speaks (https://kafka.apache.org/protocol.html).
 */
import * as net from "node:net"

export class Writer {
  private readonly parts: Array<Buffer> = []
  int8(value: number): this {
    const part = Buffer.alloc(1)
    part.writeInt8(value)
    this.parts.push(part)
    return this
  }
  int16(value: number): this {
    const part = Buffer.alloc(2)
    part.writeInt16BE(value)
    this.parts.push(part)
    return this
  }
  int32(value: number): this {
    const part = Buffer.alloc(4)
    part.writeInt32BE(value)
    this.parts.push(part)
    return this
  }
  bigInt64(value: bigint): this {
    const part = Buffer.alloc(8)
    part.writeBigInt64BE(value)
    this.parts.push(part)
    return this
  }
  int64(value: number): this {
    const part = Buffer.alloc(8)
    part.writeBigInt64BE(BigInt(value))
    this.parts.push(part)
    return this
  }
  float64(value: number): this {
    const part = Buffer.alloc(8)
    part.writeDoubleBE(value)
    this.parts.push(part)
    return this
  }
  varint(value: number): this {
    const bytes: Array<number> = []
    let rest = value >>> 0
    while (rest > 127) {
      bytes.push((rest & 127) | 128)
      rest >>>= 7
    }
    bytes.push(rest)
    this.parts.push(Buffer.from(bytes))
    return this
  }
  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const bytes = Buffer.from(value)
    this.int16(bytes.length)
    this.parts.push(bytes)
    return this
  }
  compactString(value: string): this {
    const bytes = Buffer.from(value)
    this.varint(bytes.length + 1)
    this.parts.push(bytes)
    return this
  }
  /** The bytes behind a length of four bytes. */
  blob(value: Buffer): this {
    this.int32(value.length)
    this.parts.push(value)
    return this
  }
  array<A>(items: ReadonlyArray<A>, write: (item: A) => void): this {
    this.int32(items.length)
    for (const item of items) write(item)
    return this
  }
  compactArray<A>(items: ReadonlyArray<A>, write: (item: A) => void): this {
    this.varint(items.length + 1)
    for (const item of items) write(item)
    return this
  }
  toBuffer(): Buffer {
    return Buffer.concat(this.parts)
  }
}

export class Reader {
  private readonly buffer: Buffer
  private at = 0
  constructor(buffer: Buffer) {
    this.buffer = buffer
  }
  int8(): number {
    return this.buffer.readInt8(this.at++)
  }
  int16(): number {
    this.at += 2
    return this.buffer.readInt16BE(this.at - 2)
  }
  int32(): number {
    this.at += 4
    return this.buffer.readInt32BE(this.at - 4)
  }
  bigInt64(): bigint {
    this.at += 8
    return this.buffer.readBigInt64BE(this.at - 8)
  }
  int64(): number {
    this.at += 8
    return Number(this.buffer.readBigInt64BE(this.at - 8))
  }
  float64(): number {
    this.at += 8
    return this.buffer.readDoubleBE(this.at - 8)
  }
  varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.buffer.readUInt8(this.at++)
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
  }
  private bytes(length: number): string | null {
    if (length < 0) return null
    this.at += length
    return this.buffer.toString("utf8", this.at - length, this.at)
  }
  string(): string | null {
    return this.bytes(this.int16())
  }
  compactString(): string | null {
    return this.bytes(this.varint() - 1)
  }
  /** A view of the bytes behind a length of four bytes; empty for null. */
  blob(): Buffer {
    const length = Math.max(0, this.int32())
    this.at += length
    return this.buffer.subarray(this.at - length, this.at)
  }
  array<A>(read: () => A): Array<A> {
    return Array.from({ length: Math.max(0, this.int32()) }, read)
  }
  compactArray<A>(read: () => A): Array<A> {
    return Array.from({ length: Math.max(0, this.varint() - 1) }, read)
  }
  tags(): void {
    for (let left = this.varint(); left > 0; left--) {
      this.varint()
      const length = this.varint()
      this.at += length
    }
  }
}

export interface WireRequest {
  readonly name: string
  readonly apiKey: number
  readonly version: number
  readonly flexible?: boolean
  readonly body: Writer
}

const answerTimeout = 30_000

/** Sends one request to `host:port` and gives the answer's body. */
export const ask = (address: string, request: WireRequest): Promise<Reader> =>
  new Promise((resolve, reject) => {
    const colon = address.lastIndexOf(":")
    const socket = net.connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) })
    const fail = (cause: unknown): void => {
      socket.destroy()
      reject(cause)
    }
    socket.setTimeout(answerTimeout, () =>
      fail(new Error(`${request.name} on ${address}: no answer in ${answerTimeout} ms`))
    )
    socket.once("error", fail)
    socket.once("close", () => fail(new Error(`${request.name} on ${address}: the broker closed the connection`)))
    const header = new Writer()
      .int16(request.apiKey)
      .int16(request.version)
      .int32(1)
      .string("effect-ktables-testing")
      .toBuffer()
    const body = request.body.toBuffer()
    const tags = request.flexible === true ? Buffer.from([0]) : Buffer.alloc(0)
    const size = Buffer.alloc(4)
    size.writeInt32BE(header.length + tags.length + body.length)
    socket.write(Buffer.concat([size, header, tags, body]))
    let received: Buffer = Buffer.alloc(0)
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      socket.removeAllListeners("close")
      socket.destroy()
      const reader = new Reader(received.subarray(8))
      if (request.flexible === true) reader.tags()
      resolve(reader)
    })
  })
