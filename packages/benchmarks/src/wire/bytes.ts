/** Writing and reading of the protocol's plain (non-flexible) primitives, for the benchmark's own minimal requests. */

/** Appends primitives to a list of chunks. */
export class Writer {
  private chunks: Array<Buffer> = []

  i8(value: number): this {
    return this.push(1, (b) => b.writeInt8(value))
  }
  i16(value: number): this {
    return this.push(2, (b) => b.writeInt16BE(value))
  }
  i32(value: number): this {
    return this.push(4, (b) => b.writeInt32BE(value))
  }
  i64(value: number): this {
    return this.push(8, (b) => b.writeBigInt64BE(BigInt(value)))
  }
  string(value: string | null): this {
    if (value === null) return this.i16(-1)
    const bytes = Buffer.from(value)
    return this.i16(bytes.length).raw(bytes)
  }
  array<A>(items: ReadonlyArray<A>, write: (item: A) => void): this {
    this.i32(items.length)
    for (const item of items) write(item)
    return this
  }
  bytes(value: Buffer): this {
    return this.i32(value.length).raw(value)
  }
  raw(value: Buffer): this {
    this.chunks.push(value)
    return this
  }
  done(): Buffer {
    return Buffer.concat(this.chunks)
  }

  private push(size: number, write: (buffer: Buffer) => void): this {
    const buffer = Buffer.allocUnsafe(size)
    write(buffer)
    return this.raw(buffer)
  }
}

/** Reads primitives from a buffer, front to back. */
export class Reader {
  position = 0
  readonly buffer: Buffer

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  i8(): number {
    return this.buffer.readInt8((this.position += 1) - 1)
  }
  i16(): number {
    return this.buffer.readInt16BE((this.position += 2) - 2)
  }
  i32(): number {
    return this.buffer.readInt32BE((this.position += 4) - 4)
  }
  i64(): number {
    return Number(this.buffer.readBigInt64BE((this.position += 8) - 8))
  }
  string(): string | null {
    const length = this.i16()
    return length < 0 ? null : this.skip(length).toString("utf8")
  }
  array<A>(read: () => A): Array<A> {
    return Array.from({ length: Math.max(0, this.i32()) }, read)
  }
  skip(length: number): Buffer {
    return this.buffer.subarray(this.position, (this.position += length))
  }
}
