import { assert, describe, it } from "@effect/vitest"
import { ProtocolViolation, Reader, Writer } from "../../src/internal/protocol/primitives.ts"

const written = (flexible: boolean, write: (writer: Writer) => void): Buffer => {
  const writer = new Writer(flexible, 1)
  write(writer)
  return writer.bytes()
}

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(" ", ""), "hex")

describe("int64", () => {
  it.each([
    ["0000000000000000", 0],
    ["0000000000000001", 1],
    ["ffffffffffffffff", -1],
    ["ffffffff00000000", -4_294_967_296],
    ["00000000ffffffff", 4_294_967_295],
    ["0000000100000000", 4_294_967_296],
    ["001fffffffffffff", Number.MAX_SAFE_INTEGER],
    ["ffe0000000000001", Number.MIN_SAFE_INTEGER]
  ])("%s is %d, read and written", (digits, value) => {
    assert.strictEqual(new Reader(hex(digits), false).int64(), value)
    assert.strictEqual(written(false, (writer) => writer.int64(value)).toString("hex"), digits)
  })

  it.each(["0020000000000000", "ffe0000000000000", "7fffffffffffffff", "8000000000000000"])(
    "%s is beyond 2^53-1 and refused",
    (digits) => {
      assert.throws(() => new Reader(hex(digits), false).int64(), ProtocolViolation, "beyond 2^53-1")
    }
  )

  it("is not written from a fraction or beyond 2^53-1", () => {
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.throws(() => written(false, (writer) => writer.int64(value)), ProtocolViolation)
    }
  })
})

describe("unsignedVarint", () => {
  it.each([
    ["00", 0],
    ["7f", 127],
    ["8001", 128],
    ["ac02", 300],
    ["ffffff7f", 268_435_455],
    ["ffffffff0f", 4_294_967_295]
  ])("%s is %d, read and written", (digits, value) => {
    assert.strictEqual(new Reader(hex(digits), true).unsignedVarint(), value)
    assert.strictEqual(written(true, (writer) => writer.unsignedVarint(value)).toString("hex"), digits)
  })

  it("longer than 32 bits is refused", () => {
    for (const digits of ["ffffffff1f", "808080808001", "ffffffffffffff"]) {
      assert.throws(() => new Reader(hex(digits), true).unsignedVarint(), ProtocolViolation, "32 bits")
    }
  })
})

describe("strings", () => {
  it("are as long as their UTF-8 bytes, in both encodings", () => {
    assert.deepStrictEqual(
      written(false, (writer) => writer.string("hé€😀")),
      hex("000a 68c3a9e282acf09f9880")
    )
    assert.deepStrictEqual(
      written(true, (writer) => writer.string("hé€😀")),
      hex("0b 68c3a9e282acf09f9880")
    )
    assert.strictEqual(new Reader(hex("000a 68c3a9e282acf09f9880"), false).string(), "hé€😀")
    assert.strictEqual(new Reader(hex("0b 68c3a9e282acf09f9880"), true).string(), "hé€😀")
  })

  it("can be null only where that is allowed", () => {
    for (const [digits, flexible] of [
      ["ffff", false],
      ["00", true]
    ] as const) {
      assert.isUndefined(new Reader(hex(digits), flexible).nullableString())
      assert.throws(() => new Reader(hex(digits), flexible).string(), ProtocolViolation, "null")
      assert.deepStrictEqual(
        written(flexible, (writer) => writer.nullString()),
        hex(digits)
      )
    }
  })

  it("with a length below -1 are refused", () => {
    assert.throws(() => new Reader(hex("fffe"), false).nullableString(), ProtocolViolation, "-2")
  })

  it("too long for their length field are not written", () => {
    const long = "x".repeat(0x8000)
    assert.throws(() => written(false, (writer) => writer.string(long)), ProtocolViolation, "32768")
    assert.strictEqual(
      new Reader(
        written(true, (writer) => writer.string(long)),
        true
      ).string(),
      long
    )
  })
})

describe("arrays", () => {
  it("longer than the bytes left are refused before anything is read", () => {
    let read = 0
    const element = () => read++
    assert.throws(() => new Reader(hex("7fffffff 00"), false).array(element), ProtocolViolation, "2147483647")
    assert.throws(() => new Reader(hex("ffffffff0f 00"), true).array(element), ProtocolViolation, "4294967294")
    assert.strictEqual(read, 0)
  })

  it("can be null only where that is allowed", () => {
    assert.isUndefined(new Reader(hex("ffffffff"), false).nullableArray(() => 0))
    assert.throws(() => new Reader(hex("00"), true).array(() => 0), ProtocolViolation, "null")
  })
})

describe("ids", () => {
  it("are hex digits, and the zero id is none", () => {
    const digits = "00112233445566778899aabbccddeeff"
    assert.strictEqual(new Reader(hex(digits), true).uuid(), digits)
    assert.isUndefined(new Reader(Buffer.alloc(16), true).uuid())
    assert.deepStrictEqual(
      written(true, (writer) => writer.uuid(undefined)),
      Buffer.alloc(16)
    )
    for (const bad of ["0011", `${digits}00`, "no hex digits at all, 32 of them"]) {
      assert.throws(() => written(true, (writer) => writer.uuid(bad)), ProtocolViolation, "32 hex digits")
    }
  })
})

describe("tagged fields", () => {
  it("that are unknown are skipped, and known ones end where their length says", () => {
    const reader = new Reader(hex("02 05 03 aabbcc 00 04 00000007 2a"), true)
    const seen: Array<readonly [number, number]> = []
    reader.taggedFields((tag, field) => {
      if (tag === 0) seen.push([tag, field.int32()])
    })
    assert.deepStrictEqual(seen, [[0, 7]])
    assert.strictEqual(reader.int8(), 42)
  })

  it("do not let a field read beyond its length", () => {
    const reader = new Reader(hex("01 00 02 0000 0000"), true)
    assert.throws(() => reader.taggedFields((_tag, field) => field.int32()), ProtocolViolation)
  })

  it("do not exist in versions that are not flexible", () => {
    const reader = new Reader(hex("01"), false)
    reader.taggedFields()
    assert.strictEqual(reader.remaining, 1)
  })
})
