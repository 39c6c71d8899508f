/**
 * The protocol's primitive types over bytes (https://kafka.apache.org/protocol.html#protocol_types, KIP-482 for the
 * compact ones and tagged fields). A reader or writer is made flexible or not once per message, so that a message module
 * says `string` and gets the encoding of its version.
 */

/**
 * Thrown by readers and writers, and caught where a message is encoded or decoded as a whole: a message module stays
 * plain code, with no effect per field.
 */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation"
}

const empty: Buffer = Buffer.alloc(0)

const zeroUuid = "0".repeat(32)

/**
 * Reads a message from a buffer. No read goes past its end: a length that would is a `ProtocolViolation`.
 */
export class Reader {
  readonly #buffer: Buffer
  readonly #flexible: boolean
  #offset = 0

  constructor(buffer: Buffer, flexible: boolean) {
    this.#buffer = buffer
    this.#flexible = flexible
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset
  }

  #take(length: number): number {
    if (length > this.remaining) {
      throw new ProtocolViolation(`${length} bytes wanted at byte ${this.#offset}, ${this.remaining} left`)
    }
    const at = this.#offset
    this.#offset = at + length
    return at
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  int8(): number {
    return this.#buffer.readInt8(this.#take(1))
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4))
  }

  /** A number that 2^53-1 bounds on both sides; anything else is refused rather than rounded. */
  /** All 64 bits, of what is no number but a name. */
  bigInt64(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8))
  }
  int64(): number {
    const at = this.#take(8)
    const value = this.#buffer.readInt32BE(at) * 0x1_0000_0000 + this.#buffer.readUInt32BE(at + 4)
    if (!Number.isSafeInteger(value)) {
      throw new ProtocolViolation(`the number ${this.#buffer.readBigInt64BE(at)} at byte ${at} is beyond 2^53-1`)
    }
    return value
  }

  /** At most five bytes, as an unsigned 32 bit number. */
  unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#buffer.readUInt8(this.#take(1))
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break
        return value
      }
    }
    throw new ProtocolViolation(`a varint longer than 32 bits ends at byte ${this.#offset}`)
  }

  /** 32 lower-case hex digits; undefined for the zero id, which stands for none. */
  uuid(): string | undefined {
    const at = this.#take(16)
    const digits = this.#buffer.toString("hex", at, at + 16)
    return digits === zeroUuid ? undefined : digits
  }

  string(): string {
    const value = this.nullableString()
    if (value === undefined) throw new ProtocolViolation(`null instead of a string ends at byte ${this.#offset}`)
    return value
  }

  nullableString(): string | undefined {
    const length = this.#flexible ? this.unsignedVarint() - 1 : this.int16()
    if (length < 0) return this.#absent(length)
    const at = this.#take(length)
    return this.#buffer.toString("utf8", at, at + length)
  }

  /** A record set, as a view into the answer; null reads as no bytes. */
  records(): Buffer {
    const length = this.#flexible ? this.unsignedVarint() - 1 : this.int32()
    if (length < 0) return this.#absent(length) ?? empty
    const at = this.#take(length)
    return this.#buffer.subarray(at, at + length)
  }

  /** Whatever is left, where a broker answers in another version than asked. */
  rest(): Buffer {
    const at = this.#take(this.remaining)
    return this.#buffer.subarray(at)
  }

  array<A>(element: (reader: Reader) => A): Array<A> {
    const values = this.nullableArray(element)
    if (values === undefined) throw new ProtocolViolation(`null instead of an array ends at byte ${this.#offset}`)
    return values
  }

  nullableArray<A>(element: (reader: Reader) => A): Array<A> | undefined {
    const length = this.#flexible ? this.unsignedVarint() - 1 : this.int32()
    if (length < 0) return this.#absent(length)
    // An element takes a byte at least, so a longer array cannot be there; this also bounds the loop.
    if (length > this.remaining) {
      throw new ProtocolViolation(`an array of ${length} at byte ${this.#offset}, ${this.remaining} bytes left`)
    }
    const values: Array<A> = []
    for (let i = 0; i < length; i++) values.push(element(this))
    return values
  }

  /**
   * The tagged fields that end a structure. A field that `known` does not read is skipped, since brokers add new ones
   * within a version (KIP-482).
   */
  taggedFields(known?: (tag: number, field: Reader) => void): void {
    if (!this.#flexible) return
    const count = this.unsignedVarint()
    for (let i = 0; i < count; i++) {
      const tag = this.unsignedVarint()
      const length = this.unsignedVarint()
      const at = this.#take(length)
      if (known !== undefined) known(tag, new Reader(this.#buffer.subarray(at, at + length), true))
    }
  }

  #absent(length: number): undefined {
    if (length !== -1) throw new ProtocolViolation(`the length ${length} ends at byte ${this.#offset}`)
    return undefined
  }
}

const maxInt16 = 0x7fff

/**
 * Writes a message into a growing buffer.
 */
export class Writer {
  readonly #flexible: boolean
  #buffer: Buffer
  #offset = 0

  constructor(flexible: boolean, sizeHint = 256) {
    this.#flexible = flexible
    this.#buffer = Buffer.allocUnsafe(sizeHint)
  }

  /** The bytes written so far, as a view. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#offset)
  }

  #reserve(length: number): number {
    const at = this.#offset
    const end = at + length
    if (end > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#offset = end
    return at
  }

  boolean(value: boolean): void {
    this.int8(value ? 1 : 0)
  }

  int8(value: number): void {
    const at = this.#reserve(1)
    this.#buffer.writeInt8(value, at)
  }

  int16(value: number): void {
    const at = this.#reserve(2)
    this.#buffer.writeInt16BE(value, at)
  }

  int32(value: number): void {
    const at = this.#reserve(4)
    this.#buffer.writeInt32BE(value, at)
  }

  int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new ProtocolViolation(`${value} is no whole number within 2^53-1`)
    const at = this.#reserve(8)
    this.#buffer.writeInt32BE(Math.floor(value / 0x1_0000_0000), at)
    this.#buffer.writeUInt32BE(value >>> 0, at + 4)
  }

  unsignedVarint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      const at = this.#reserve(1)
      this.#buffer.writeUInt8((rest & 0x7f) | 0x80, at)
      rest = Math.floor(rest / 0x80)
    }
    const at = this.#reserve(1)
    this.#buffer.writeUInt8(rest, at)
  }

  uuid(digits: string | undefined): void {
    const at = this.#reserve(16)
    if (this.#buffer.write(digits ?? zeroUuid, at, 16, "hex") !== 16 || (digits ?? zeroUuid).length !== 32) {
      throw new ProtocolViolation(`${digits} is no id of 32 hex digits`)
    }
  }

  string(value: string): void {
    const length = Buffer.byteLength(value)
    if (this.#flexible) this.unsignedVarint(length + 1)
    else if (length > maxInt16) throw new ProtocolViolation(`a string of ${length} bytes does not fit`)
    else this.int16(length)
    const at = this.#reserve(length)
    this.#buffer.write(value, at, length, "utf8")
  }

  nullString(): void {
    if (this.#flexible) this.unsignedVarint(0)
    else this.int16(-1)
  }

  records(value: Uint8Array): void {
    if (this.#flexible) this.unsignedVarint(value.length + 1)
    else this.int32(value.length)
    const at = this.#reserve(value.length)
    this.#buffer.set(value, at)
  }

  array<A>(values: ReadonlyArray<A>, element: (value: A) => void): void {
    if (this.#flexible) this.unsignedVarint(values.length + 1)
    else this.int32(values.length)
    for (const value of values) element(value)
  }

  nullArray(): void {
    if (this.#flexible) this.unsignedVarint(0)
    else this.int32(-1)
  }

  /** The tagged fields that end a structure: none, in every request sent here. */
  noTaggedFields(): void {
    if (this.#flexible) this.unsignedVarint(0)
  }
}
