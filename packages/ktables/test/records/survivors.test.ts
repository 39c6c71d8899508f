import { assert, describe, it } from "@effect/vitest"
import type { TableEntry } from "effect-ktables"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { readHeaders } from "../../src/internal/records/recordHeaders.ts"
import { chance } from "../support/chance.ts"
import { AnswerMemory } from "../../src/internal/records/answerMemory.ts"
import { Survivors } from "../../src/internal/records/survivors.ts"

interface Expected {
  readonly value: Buffer | null
  readonly headers: ReadonlyArray<TableEntry.Header>
  readonly offset: number
  readonly timestamp: number
}

/** Bytes of an answer: enough that its memory is filled again. */
const ANSWER = 1 << 21

/** Keys of all lengths about the one up to which they are told apart by words, many with a beginning in common. */
const keyOf = (n: number): Buffer =>
  n % 3 === 0 ? Buffer.from("k".repeat(n % 60) + n) : n % 3 === 1 ? Buffer.from(`key-${n}`) : Buffer.from([n, n >> 8])

/** Feeds a random log, a few batches at a time, and keeps beside it what a plain map would hold. */
const feed = (options: {
  readonly seed: number
  readonly keys: number
  readonly batches: number
  readonly valueSize: number
  readonly mostPacked?: number
  readonly headers?: boolean
}) => {
  const random = chance(options.seed).next
  const memory = new AnswerMemory(ANSWER, 1, options.mostPacked)
  const survivors = new Survivors(0, memory, options.headers)
  const expected = new Map<string, Expected>()
  let peak = 0
  // Offsets beyond 32 bits, and a clock that goes backwards.
  let offset = 3 * 4294967296 + 17
  let from = offset
  const sets: Array<Buffer> = []
  for (let b = 0; b < options.batches; b++) {
    const records = Array.from({ length: 20 }, (_, i) => {
      const key = keyOf(Math.floor(random() * random() * options.keys))
      const kind = random()
      const value =
        kind < 0.1
          ? null
          : kind < 0.15
            ? Buffer.alloc(0)
            : Buffer.alloc(1 + Math.floor(random() * options.valueSize), i)
      const headers =
        options.headers === true && random() < 0.7
          ? [{ key: `h${b % 7}`, value: random() < 0.2 ? null : Buffer.alloc(Math.floor(random() * 300), `${b} ${i}`) }]
          : []
      return { offsetDelta: i, timestamp: Math.floor(random() * 2e12), key, value, headers }
    })
    for (const { headers, key, offsetDelta, timestamp, value } of records) {
      expected.set(key.toString("latin1"), { value, headers, offset: offset + offsetDelta, timestamp })
    }
    // Compressed batches lie in memory of their own, between others of one answer.
    sets.push(encodeBatch(records, { baseOffset: offset, ...(random() < 0.2 ? { compression: "gzip" } : {}) }))
    offset += 20
    if (b + 1 < options.batches && random() < 0.7 && sets.length < 8) continue
    const bytes = Buffer.concat(sets.splice(0))
    const answer = memory.allocate(Math.max(ANSWER, bytes.length))
    bytes.copy(answer)
    const cursor = new RecordCursor({
      records: answer.subarray(0, bytes.length),
      fromOffset: from,
      abortedTransactions: undefined
    })
    // A deadline in the past: the cursor is left and resumed in the middle of a set.
    while (!survivors.take(cursor, random() < 0.5 ? 0 : Number.POSITIVE_INFINITY));
    memory.release(answer)
    from = offset
    peak = Math.max(peak, survivors.bytes.held - survivors.bytes.live)
  }
  return { survivors, expected, peak, keepsHeaders: options.headers === true }
}

const check = ({ expected, keepsHeaders, survivors }: ReturnType<typeof feed>) => {
  assert.strictEqual(survivors.size, expected.size)
  let live = 0
  let entries = 0
  let keyBytes = 0
  for (let entry = 0; entry < survivors.size; entry++) {
    const key = survivors
      .keyBuffer(entry)
      .toString("latin1", survivors.keyStart(entry), survivors.keyStart(entry) + survivors.keyLength(entry))
    const of = expected.get(key)!
    assert.strictEqual(survivors.offsetOf(entry), of.offset)
    assert.strictEqual(survivors.timestampOf(entry), of.timestamp)
    assert.strictEqual(survivors.valueLength(entry), of.value === null ? -1 : of.value.length)
    if (of.value !== null) {
      const at = survivors.valueStart(entry)
      assert.isTrue(
        survivors
          .valueBuffer(entry)
          .subarray(at, at + of.value.length)
          .equals(of.value),
        key
      )
      live += of.value.length
      if (keepsHeaders) {
        const [start, end] = [at + of.value.length, survivors.headersEnd(entry)]
        const headers = readHeaders(survivors.valueBuffer(entry), start, end)!
        assert.deepStrictEqual(
          headers.map(({ key, value }) => [key, value && Buffer.from(value)]),
          of.headers.map(({ key, value }) => [key, value]),
          key
        )
        live += end - start
      }
      entries++
      keyBytes += key.length
    }
    const bytes = Buffer.from(key, "latin1")
    assert.strictEqual(survivors.find(bytes, 0, bytes.length), entry)
  }
  assert.strictEqual(survivors.bytes.live, live)
  assert.deepStrictEqual(survivors.extent, { entries, bytes: keyBytes + live })
  const unknown = Buffer.from("unknown")
  assert.strictEqual(survivors.find(unknown, 0, unknown.length), -1)
}

/** Feeds one record of each key, its number for an offset; hands back the milliseconds. */
const takeAll = (survivors: Survivors, count: number, keyOf: (n: number) => Buffer): number => {
  const value = Buffer.from("value")
  let millis = 0
  for (let from = 0; from < count; from += 10_000) {
    const records = Array.from({ length: Math.min(10_000, count - from) }, (_, i) => ({
      offsetDelta: i,
      timestamp: 0,
      key: keyOf(from + i),
      value
    }))
    const cursor = new RecordCursor({
      records: encodeBatch(records, { baseOffset: from }),
      fromOffset: from,
      abortedTransactions: undefined
    })
    const started = performance.now()
    survivors.take(cursor, Number.POSITIVE_INFINITY)
    millis += performance.now() - started
  }
  return millis
}

describe("survivors", () => {
  for (let seed = 1; seed <= 20; seed++) {
    it(`hold the last record of every key, as a plain map does (seed ${seed})`, () => {
      const fed = feed({ seed, keys: 1 + seed * 150, batches: 200, valueSize: 60 })
      check(fed)
      assert.strictEqual(fed.survivors.records, 4000)
    })
  }

  for (let seed = 1; seed <= 8; seed++) {
    it(`keep headers beside values where that is wanted, also of what is copied together (seed ${seed})`, () => {
      const valueSize = seed % 2 === 0 ? 60 : 20_000
      const fed = feed({ seed, keys: 1 + seed * 150, batches: 200, valueSize, headers: true })
      check(fed)
      assert.strictEqual(fed.survivors.records, 4000)
    })
  }

  for (const mostPacked of [50_000, 1_000_000]) {
    it(`that are copied together fill blocks of at most ${mostPacked} bytes, or of one value`, () => {
      const fed = feed({ seed: mostPacked, keys: 300, batches: 400, valueSize: 60_000, mostPacked })
      check(fed)
      const { live } = fed.survivors.bytes
      assert.isBelow(fed.peak, live + 2 * 1024 * 1024 + 8 * 1_300_000)
    })
  }

  it("hold what lives and a bounded rest, however much of the log is superseded", () => {
    const fed = feed({ seed: 99, keys: 300, batches: 600, valueSize: 60_000 })
    check(fed)
    // The log is some 300 MB; what is held beyond the survivors is as much again, and the slack, and one answer.
    const { live } = fed.survivors.bytes
    assert.isBelow(fed.peak, live + 2 * 1024 * 1024 + 8 * 1_300_000)
  })

  it("do not keep whole answers for a partition that has a little in each", () => {
    const memory = new AnswerMemory(1 << 20, 2)
    const quiet = new Survivors(0, memory)
    const busy = new Survivors(1, memory)
    const memories = new Set<ArrayBufferLike>()
    for (let n = 0; n < 200; n++) {
      const sets = [
        encodeBatch([{ offsetDelta: 0, timestamp: n, key: Buffer.from(`key-${n}`), value: Buffer.alloc(2000, n) }], {
          baseOffset: n
        }),
        encodeBatch([{ offsetDelta: 0, timestamp: n, key: Buffer.from("key"), value: Buffer.alloc(900_000, n) }], {
          baseOffset: n
        })
      ]
      const bytes = Buffer.concat(sets)
      const answer = memory.allocate(bytes.length)
      memories.add(answer.buffer)
      bytes.copy(answer)
      const views = [answer.subarray(0, sets[0]!.length), answer.subarray(sets[0]!.length)]
      memory.receive(views)
      for (const [i, survivors] of [quiet, busy].entries()) {
        survivors.take(
          new RecordCursor({ records: views[i]!, fromOffset: n, abortedTransactions: undefined }),
          Number.POSITIVE_INFINITY
        )
      }
      memory.release(answer)
    }
    // 200 KB survive of 180 MB.
    assert.isBelow(memories.size, 8)
    for (let entry = 0; entry < quiet.size; entry++) {
      assert.strictEqual(quiet.valueBuffer(entry)[quiet.valueStart(entry)], quiet.offsetOf(entry))
    }
  })

  for (const prefix of [0, 20, 24, 28]) {
    it(`tell keys of one hash apart that begin with the same ${prefix} bytes`, () => {
      // The hash has secrets, so nobody can choose such keys; but among so many some ten pairs have one of 32 bits.
      const count = 300_000
      const keys = Buffer.alloc(count * 8)
      for (let n = 0; n < count; n++) {
        keys.writeInt32LE(n, n * 8)
        keys.writeInt32LE(Math.imul(n, 0x9e3779b1), n * 8 + 4)
      }
      const keyOf = (n: number): Buffer => {
        const key = Buffer.alloc(prefix + 8, "p")
        keys.copy(key, prefix, n * 8, n * 8 + 8)
        return key
      }
      const survivors = new Survivors(0, new AnswerMemory(ANSWER, 1))
      takeAll(survivors, count, keyOf)
      assert.strictEqual(survivors.size, count)
      for (let n = 0; n < count; n++) {
        const entry = survivors.find(keyOf(n), 0, prefix + 8)
        if (survivors.offsetOf(entry) !== n) assert.fail(`key ${n} is taken for ${survivors.offsetOf(entry)}`)
      }
    })
  }

  it("hold keys of all sizes, and such as are larger than a page of them", () => {
    const sizes = [10, 3_000_000, 3_000_000, 5_000_000, 30, 9_000_000, 4_194_304, 20, 1_000_000]
    const keys = sizes.map((size, n) => Buffer.alloc(size, `${n} `))
    // Alike but for their ends.
    for (const size of [100, 5_000_000]) for (const end of ["x", "y"]) keys.push(Buffer.from("k".repeat(size) + end))
    const survivors = new Survivors(0, new AnswerMemory(ANSWER, 1))
    for (let round = 0; round < 2; round++) {
      for (const [n, key] of keys.entries()) {
        const records = encodeBatch([{ offsetDelta: 0, timestamp: 0, key, value: null }], { baseOffset: n })
        survivors.take(
          new RecordCursor({ records, fromOffset: n, abortedTransactions: undefined }),
          Number.POSITIVE_INFINITY
        )
      }
    }
    assert.strictEqual(survivors.size, keys.length)
    for (const [n, key] of keys.entries()) {
      const entry = survivors.find(key, 0, key.length)
      assert.strictEqual(survivors.offsetOf(entry), n)
      const at = survivors.keyStart(entry)
      assert.isTrue(
        survivors
          .keyBuffer(entry)
          .subarray(at, at + survivors.keyLength(entry))
          .equals(key)
      )
    }
  })

  it("grow by a little at a time: of the work of 2,200,000 keys no step does more than a twentieth", () => {
    const cpu = (): number => {
      const { system, user } = process.threadCpuUsage()
      return system + user
    }
    const shareOfLongest = (): number => {
      const survivors = new Survivors(0, new AnswerMemory(ANSWER, 1))
      let longest = 0
      let total = 0
      for (let from = 0; from < 2_200_000; from += 10_000) {
        const records = Array.from({ length: 10_000 }, (_, i) => ({
          offsetDelta: i,
          timestamp: 0,
          key: Buffer.from(`customer-${from + i}`),
          value: null
        }))
        const cursor = new RecordCursor({
          records: encodeBatch(records, { baseOffset: from }),
          fromOffset: from,
          abortedTransactions: undefined
        })
        for (let done = false; !done;) {
          const before = cpu()
          done = survivors.take(cursor, 0)
          const step = cpu() - before
          total += step
          longest = Math.max(longest, step)
        }
      }
      return longest / total
    }
    // A collection of garbage falls into a step now and then.
    let least = shareOfLongest()
    for (let n = 0; n < 2 && least > 0.05; n++) least = Math.min(least, shareOfLongest())
    assert.isBelow(least, 0.05)
  }, 120_000)

  /** Milliseconds that so many keys take at best. */
  const timeOf = (count: number, keyOf: (n: number) => Buffer): number =>
    Math.min(
      ...Array.from({ length: 3 }, () => {
        const survivors = new Survivors(0, new AnswerMemory(ANSWER, 1))
        const millis = takeAll(survivors, count, keyOf)
        assert.strictEqual(survivors.size, count)
        return millis
      })
    )

  it("20,000 keys chosen to have one hash take the time of any others", () => {
    // A step of a hash without a seed can be undone, so the last four bytes make up for the four before them.
    const step = (hash: number): number => {
      const mixed = Math.imul(hash, 0x2c1b3c6d)
      return mixed ^ (mixed >>> 15)
    }
    const chosen = timeOf(20_000, (n) => {
      const key = Buffer.alloc(8)
      key.writeInt32LE(n, 0)
      key.writeInt32LE(step(8 ^ n) ^ 1234, 4)
      return key
    })
    const others = timeOf(20_000, (n) => Buffer.from(`${n}`.padStart(8)))
    assert.isBelow(chosen, 20 * others + 50)
  })

  it("keys that differ in ways which a multiplication carries on under every seed take no longer than others", () => {
    // The highest bit of a word goes through a multiplication alone, and the shift behind it adds a second.
    const chosen = timeOf(1 << 14, (n) => {
      const key = Buffer.alloc(14 * 8)
      for (let bit = 0; bit < 14; bit++) {
        if ((n >> bit) % 2 === 0) continue
        key.writeInt32LE(1 << 31, bit * 8)
        key.writeInt32LE((1 << 31) | (1 << 16), bit * 8 + 4)
      }
      return key
    })
    const others = timeOf(1 << 14, (n) => Buffer.alloc(14 * 8, `${n} `))
    assert.isBelow(chosen, 20 * others + 50)
  })
})
