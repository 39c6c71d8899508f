import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { KafkaTableWriter } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ForeignKeys } from "../../src/internal/replica/foreignKeys.ts"
import { Ownership } from "../../src/internal/replica/ownership.ts"
import type { Source } from "../../src/internal/replica/source.ts"
import { LogContents } from "../../src/internal/replica/logContents.ts"
import * as Metrics from "../../src/internal/log/metrics.ts"
import { crc32c } from "../../src/internal/records/crc32c.ts"
import { javaPartitioner, type Partitioner } from "../../src/internal/records/partitioner.ts"
import { observe } from "../support/subject.ts"
import { numberDecoding } from "../support/oracle.ts"
import { numbers } from "../table/fixtures.ts"

/** As librdkafka's default does it: by a checksum. */
const byChecksum: Partitioner = (key, partitions) => crc32c(Buffer.from(key), 0, key.length) % partitions

/** Applies records as a live table does, and counts what it remembers. */
const following = (partitions: number, isForeign = false) => {
  const contents = new LogContents<string, number>()
  const ownership = new Ownership(Metrics.make("numbers", Context.empty()).counts)
  ownership.partitions = partitions
  ownership.isForeign = isForeign
  let offset = 0
  const source = (key: string, partition: number, valueLength: number): Source => {
    const bytes = Buffer.from(key)
    return {
      partition,
      offset: offset++,
      timestamp: 0,
      keyBuffer: bytes,
      keyStart: 0,
      keyLength: bytes.length,
      valueBuffer: bytes,
      valueStart: 0,
      valueLength,
      headersStart: 0,
      headersEnd: 0
    }
  }
  return {
    contents,
    ownership,
    put: (key: string, partition: number) =>
      contents.mutate(() => ownership.put(contents, source(key, partition, 1), key, offset, "any"), false),
    remove: (key: string, partition: number) =>
      contents.mutate(() => ownership.remove(contents, source(key, partition, -1), key, "any"), false)
  }
}

const at = (key: string, partitions: number) => javaPartitioner(Buffer.from(key), partitions)

describe("deletions that are remembered", () => {
  it("are bounded after a record outside its key's partition, however many there are", () => {
    const { contents, ownership, put, remove } = following(4)
    const stray = "stray"
    put(stray, (at(stray, 4) + 1) % 4)
    for (let n = 0; n < 50_000; n++) {
      const key = `key-${n}`
      put(key, at(key, 4))
      remove(key, at(key, 4))
    }
    assert.isFalse(ownership.isIgnorant)
    assert.isAtMost(contents.graves, 2048)
    // The last ones stand against records elsewhere.
    for (let n = 49_000; n < 50_000; n++) {
      put(`key-${n}`, (at(`key-${n}`, 4) + 1) % 4)
      assert.isFalse(contents.has(`key-${n}`))
    }
  })

  it("are none where producers hash otherwise, and no key was in two partitions", () => {
    const { contents, ownership, put, remove } = following(4, true)
    for (let n = 0; n < 50_000; n++) {
      const key = Buffer.from(`key-${n}`)
      put(key.toString(), byChecksum(key, 4))
      remove(key.toString(), byChecksum(key, 4))
      assert.isFalse(ownership.isIgnorant)
    }
    assert.strictEqual(contents.graves, 0)
  })

  it("of a key in two partitions are not pushed out by those of others, where producers hash otherwise", () => {
    const { contents, put, remove } = following(4, true)
    const elsewhere = (at("key", 4) + 1) % 4
    put("key", elsewhere)
    remove("key", at("key", 4))
    for (let n = 0; n < 50_000; n++) {
      const key = Buffer.from(`key-${n}`)
      put(key.toString(), byChecksum(key, 4))
      remove(key.toString(), byChecksum(key, 4))
    }
    assert.strictEqual(contents.graves, 1)
    put("key", elsewhere)
    assert.isFalse(contents.has("key"))
  })

  it("are the owner's of a key in two partitions, where producers hash otherwise too", () => {
    const { contents, put, remove } = following(4, true)
    const elsewhere = (at("key", 4) + 1) % 4
    put("key", elsewhere)
    remove("key", at("key", 4))
    assert.isFalse(contents.has("key"))
    put("key", elsewhere)
    assert.isFalse(contents.has("key"), "the owner's deletion stands")
    put("key", at("key", 4))
    assert.isTrue(contents.has("key"))
  })
})

describe("keys outside their partitions", () => {
  /** Whether a topic is taken for one of other producers, by where its keys lie. */
  const judged = (keys: number, partitions: number, place: (key: Buffer, n: number) => number): boolean => {
    const foreign = new ForeignKeys(partitions)
    for (let n = 0; n < keys; n++) {
      const key = Buffer.from(`key-${n}`)
      const partition = place(key, n)
      if (partition === javaPartitioner(key, partitions)) continue
      foreign.add({
        partition,
        offset: n,
        timestamp: 0,
        keyBuffer: key,
        keyStart: 0,
        keyLength: key.length,
        valueBuffer: key,
        valueStart: 0,
        valueLength: 1,
        headersStart: 0,
        headersEnd: 0
      })
    }
    return foreign.areMany(keys)
  }

  for (const partitions of [2, 3, 4, 12, 100]) {
    it(`in ${partitions} partitions tell of producers that hash otherwise`, () => {
      assert.isTrue(judged(3000, partitions, (key) => byChecksum(key, partitions)))
    })
  }
  for (const before of [[1], [2], [1, 2], [3, 5], [1, 2, 3, 4, 5, 6, 7]]) {
    it(`in eight are explained by growth from ${before.join(", ")}`, () => {
      assert.isFalse(judged(3000, 8, (key, n) => javaPartitioner(key, before[n % before.length]!)))
    })
  }
  it("are strays where they are few", () => {
    assert.isFalse(judged(3000, 4, (key, n) => (n % 20 === 0 ? byChecksum(key, 4) : javaPartitioner(key, 4))))
    assert.isFalse(judged(40, 4, (key) => byChecksum(key, 4)))
  })
})

describe("a topic whose producers hash otherwise", () => {
  it.effect("is read as any other, without a rebuild, loaded and followed", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      yield* kafka.createTopic("numbers", { partitions: 4 })
      const writer = yield* KafkaTableWriter.make(numbers, { partitioner: byChecksum })
      const write = (from: number) =>
        Effect.gen(function* () {
          for (let n = from; n < from + 400; n++) {
            yield* writer.setAll([
              [`key-${n}`, 2 * n],
              [`gone-${n}`, 2 * n + 1]
            ])
          }
          for (let n = from; n < from + 400; n += 10) yield* writer.delete(`gone-${n}`)
        })
      const early = yield* observe(numbers, { decoding: numberDecoding, isAlone: false })
      yield* write(0)
      yield* early.agrees()
      const loaded = yield* observe(numbers, { decoding: numberDecoding, isAlone: false })
      yield* write(1000)
      yield* loaded.agrees()
      assert.strictEqual((yield* loaded.table.health).stats.rebuilds, 0)
      yield* loaded.verify()
      yield* early.agrees()
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layer)))
  )

  it.effect("is not read again when the start of its log moves, since no key lies in two partitions", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      yield* kafka.createTopic("numbers", { partitions: 4 })
      const writer = yield* KafkaTableWriter.make(numbers, { partitioner: byChecksum })
      const keys = Array.from({ length: 400 }, (_, n) => `key-${n}`)
      yield* writer.setAll(keys.map((key, n) => [key, n]))
      const subject = yield* observe(numbers, { decoding: numberDecoding, isAlone: false })
      assert.isAbove((yield* subject.table.health).stats.foreign, 200)
      for (const [partition, before] of [10, 20, 30, 40].entries()) {
        yield* kafka.deleteRecords("numbers", partition, before)
      }
      yield* subject.until("the entries to go", 30_000, () => subject.contents().size === 300)
      // A rebuild would begin at once.
      yield* subject.pass(1000)
      assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
      yield* subject.verify()
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layer)))
  )
})

describe("a key with records in two partitions", () => {
  for (const how of ["loaded", "followed"]) {
    it.effect(`shows the older one when the other goes below the start of its log, ${how}`, () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers", { partitions: 4 })
        const owner = at("key", 4)
        const write = Effect.gen(function* () {
          yield* kafka.append("numbers", [{ key: "key", value: "1" }], { partition: (owner + 1) % 4 })
          yield* kafka.append("numbers", [{ key: "key", value: "2" }], { partition: owner })
        })
        if (how === "loaded") yield* write
        const subject = yield* observe(numbers, { decoding: numberDecoding })
        if (how === "followed") yield* write
        yield* subject.agrees()
        assert.strictEqual(subject.contents().get("key"), 2)
        yield* kafka.deleteRecords("numbers", owner, -1)
        yield* subject.until("the older one", 30_000, () => subject.contents().get("key") === 1)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layer)))
    )
  }
})
