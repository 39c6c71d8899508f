/** Random logs: what a reader is shown of them, the independent read of them, and what was written must agree. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as KafkaClient from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { summarize } from "../../src/internal/records/batchReader.ts"
import { dataOf, fetchRequest, tableOf, type Text, texts } from "./support.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Struct({
  kind: Schema.Literals(["plain", "plain", "send", "send", "send", "commit", "abort"]),
  producer: between(0, 2),
  key: between(0, 4),
  count: between(1, 3),
  isTombstone: Schema.Boolean,
  compression: Schema.Literals(["none", "gzip", "zstd"]),
  /** What happens to the log behind the step. */
  after: Schema.Literals(["nothing", "nothing", "nothing", "nothing", "compact", "drop", "elect", "truncate"])
})
type Step = typeof Step.Type

/** The first keys look like those of markers, which only their batch's header tells them from. */
const keys = ["\0\0\0\0", "\0\0\0\x01", "", "a", "b"].map((key) => Buffer.from(key, "latin1"))

interface Written {
  readonly offset: number
  readonly key: string
  readonly value: string | null
  /** Of the transaction; plain records have none. */
  readonly ended: { by: "abort" | "commit" | undefined } | undefined
}

/** Plays the steps on topic `t` and gives what was written. */
const play = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>, allowed: ReadonlyArray<Step["after"]>) {
  const kafka = yield* MemoryKafka.MemoryKafka
  yield* kafka.createTopic("t")
  const written: Array<Written> = []
  const identities = new Map<number, KafkaClient.ProducerIdentity>()
  const open = new Map<number, { transaction: MemoryKafka.Transaction; ended: NonNullable<Written["ended"]> }>()
  for (const [index, { compression, count, isTombstone, key, kind, producer, after }] of steps.entries()) {
    const records = Array.from({ length: count }, (_, i) => ({
      key: keys[(key + i) % keys.length]!,
      value: isTombstone && i === 0 ? null : `${index}-${i}`
    }))
    const note = (base: number, ended: Written["ended"]) => {
      for (const [i, record] of records.entries()) {
        written.push({ offset: base + i, key: record.key.toString("latin1"), value: record.value, ended })
      }
    }
    const current = open.get(producer)
    if (kind === "plain") note(yield* kafka.append("t", records, { compression }), undefined)
    else if (kind === "send") {
      const transaction =
        current?.transaction ?? (yield* kafka.beginTransaction({ producer: identities.get(producer) }))
      identities.set(producer, transaction.producer)
      const ended = current?.ended ?? { by: undefined }
      open.set(producer, { transaction, ended })
      note(yield* transaction.append("t", records, { compression }), ended)
    } else if (current !== undefined) {
      yield* current.transaction[kind]
      current.ended.by = kind
      open.delete(producer)
    }
    if (!allowed.includes(after)) continue
    if (after === "compact") yield* kafka.compact("t")
    if (after === "drop") yield* kafka.compact("t", { dropTombstones: true })
    if (after === "elect") yield* kafka.moveLeader("t", 0, 1)
    if (after === "truncate" && open.size === 0) {
      // The last batch goes, if it is a plain one: what has ended stays ended.
      const last = (yield* kafka.log("t")).at(-1)
      if (last?.state !== "plain") continue
      yield* kafka.truncate("t", 0, last.offset)
    }
  }
  return written
})

/** Everything that fetches of a limited size show, one after the other. */
const readAll = Effect.fnUntraced(function* (isolation: KafkaClient.Isolation, maxBytes: number) {
  const client = yield* KafkaClient.KafkaClient
  const fetcher = yield* client.openFetcher(1)
  const seen: Array<Text> = []
  for (let position = 0; ;) {
    const answer = yield* fetcher.fetch(fetchRequest("t", position, { isolation, maxBytes }))
    const { errorCode, highWatermark, lastStableOffset, records } = answer.partitions[0]!
    assert.strictEqual(errorCode, 0)
    if (records.length === 0) {
      return { seen, position, end: isolation === "read_committed" ? lastStableOffset : highWatermark }
    }
    seen.push(...dataOf(answer, position, isolation))
    const { nextOffset } = summarize(records)
    assert.isAbove(nextOffset, position)
    position = nextOffset
  }
}, Effect.scoped)

const options = { arbitrary: { runs: 300, size: 80 } }

describe("random logs", () => {
  it.effect.prop(
    "hold each record as it was written, with the outcome of its transaction",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const written = yield* play(steps, ["elect"])
        const outcome = { abort: "aborted", commit: "committed" }
        assert.deepStrictEqual(
          (yield* kafka.log("t")).map(({ key, offset, state, value }) => [
            offset,
            key?.toString("latin1"),
            value?.toString("latin1") ?? null,
            state
          ]),
          written.map(({ ended, key, offset, value }) => [
            offset,
            key,
            value,
            ended === undefined ? "plain" : ended.by === undefined ? "open" : outcome[ended.by]
          ])
        )
      }).pipe(Effect.provide(Layer.fresh(MemoryKafka.layer))),
    options
  )

  it.effect.prop(
    "show readers what an independent read finds, compacted, elected and truncated as they are",
    [Schema.Array(Step), Schema.Literals([1, 100, 300, 100_000])],
    ([steps, maxBytes]) =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* play(steps, ["compact", "drop", "elect", "truncate"])
        const log = yield* kafka.log("t")
        const uncommitted = yield* readAll("read_uncommitted", maxBytes)
        assert.deepStrictEqual(uncommitted.seen, texts(log))
        // A log that loses what was written behind a compacted hole ends in that hole.
        const mayEndInHole = steps.some(({ after }) => after === "truncate")
        assert.isTrue(uncommitted.position === uncommitted.end || mayEndInHole)
        const committed = yield* readAll("read_committed", maxBytes)
        assert.deepStrictEqual(
          committed.seen,
          texts(
            log.filter(({ offset, state }) => offset < committed.end && (state === "plain" || state === "committed"))
          )
        )
        assert.isTrue(committed.position === committed.end || mayEndInHole)
      }).pipe(Effect.provide(Layer.fresh(MemoryKafka.layer))),
    options
  )

  it.effect.prop(
    "mean the same table before and after compaction, down to one record per key",
    [Schema.Array(Step), Schema.Boolean],
    ([steps, dropTombstones]) =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* play(steps, ["compact", "drop", "elect"])
        const stable = (yield* readAll("read_committed", 100_000)).end
        const below = (log: ReadonlyArray<MemoryKafka.LoggedRecord>) => log.filter(({ offset }) => offset < stable)
        const before = below(yield* kafka.log("t"))
        yield* kafka.compact("t", { dropTombstones })
        const after = below(yield* kafka.log("t"))
        assert.deepStrictEqual([...tableOf(after)].sort(), [...tableOf(before)].sort())
        assert.strictEqual(new Set(after.map(({ key }) => key?.toString("latin1"))).size, after.length)
        assert.isFalse(dropTombstones && after.some(({ value }) => value === null))
        assert.isFalse(after.some(({ state }) => state === "aborted"))
        yield* kafka.compact("t", { dropTombstones })
        assert.deepStrictEqual(texts(below(yield* kafka.log("t"))), texts(after))
      }).pipe(Effect.provide(Layer.fresh(MemoryKafka.layer))),
    options
  )
})
