/**
 * Replicas that compact on their own, each at its own time, under tables that load slowly, lag, are cut off and follow
 * leaders that move: no deleted key stays. `SEED=n` runs one case again, `SOAK=1` runs thousands.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaClient } from "effect-ktables"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { onScript, Script } from "../support/script.ts"
import { observeNumbers, scriptedTopic, withTopic, writeBatches } from "./fixtures.ts"

const SECOND = 1000

describe("replicas that compact on their own", () => {
  it.effect("leave no deleted key in a table whose leader moves in the middle of its load", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic({ config: { "delete.retention.ms": "60000" } })
        yield* write("numbers", ["early"])
        yield* writeBatches(10, 1)
        yield* write("numbers", [["early", null]])
        yield* write("numbers", ["late"])
        // The other broker has done all there is to do, the leader's cleaner has not begun.
        yield* kafka.compact("numbers", { broker: 2, dropTombstones: true })
        script.on("fetch", (_asks, next) => Effect.delay(next, 100))
        // Positions are looked at meanwhile: what was read counts no more from the moment on that the reload is counted.
        script.on("listOffsets", (_asks, next) => Effect.delay(next, 200))
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "background" }, fetch: { maxPartitionBytes: 1 } }
        })
        yield* subject.until("a part of the load", 30 * SECOND, () => script.requests.fetch.length >= 4)
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("early"))
        const { rebuilds, reloads } = (yield* subject.table.health).stats
        assert.deepStrictEqual({ rebuilds, reloads }, { rebuilds: 0, reloads: 1 })
        // Its start and target are asked for twice: at first, and for the one time that it is read again.
        assert.strictEqual(script.requests.listOffsets.filter(({ at }) => at === "earliest").length, 2)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("leave none in a table that was shown before its load was complete", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic({ config: { "delete.retention.ms": "60000" } })
        yield* write("numbers", ["early"])
        yield* writeBatches(20, 1)
        yield* write("numbers", [["early", null]])
        yield* write("numbers", ["late"])
        yield* kafka.compact("numbers", { broker: 2, dropTombstones: true })
        script.on("fetch", (_asks, next) => Effect.delay(next, 100))
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "await", timeout: 500 }, fetch: { maxPartitionBytes: 1 } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.isTrue(subject.contents().has("early"))
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("early"))
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("cost a table nothing that has read all there was when its leader moves", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ config: { "delete.retention.ms": "60000" } })
        yield* write("numbers", keys(10))
        yield* write("numbers", [["k1", null]])
        yield* kafka.compact("numbers", { broker: 2, dropTombstones: true })
        const subject = yield* observeNumbers()
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* write("numbers", ["new"])
        yield* subject.until("the new record", 30 * SECOND, () => subject.contents().has("new"))
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect(
    "never leave a deleted key in a table that was given the time to see it, whatever happened",
    () =>
      forEachSeed(seedsOf(250, 5000), (seed, trace) => {
        const random = chance(seed)
        const brokers = random.pick([2, 3])
        return onScript(ghostHunt(random, brokers, trace), { brokers })
      }),
    propertyTimeout
  )
})

const ghostHunt = Effect.fnUntraced(function* (random: Chance, brokers: number, trace: Array<string>) {
  const kafka = yield* memory
  const client = yield* KafkaClient.KafkaClient
  const script = yield* Script
  const partitions = random.pick([1, 2])
  let retention = random.pick([10, 60]) * SECOND
  const changesRetention = random.happens(0.3)
  yield* kafka.createTopic("numbers", { partitions, config: { "delete.retention.ms": String(retention) } })
  trace.push(`${brokers} brokers, ${partitions} partitions, ${retention} ms`)

  /** What the whole history says, of which logs may hold less. */
  const history = new Map<string, number>()
  const writeSome = Effect.gen(function* () {
    const key = `k${random.below(8)}`
    const isDeleted = random.happens(0.5)
    const partition = javaPartitioner(Buffer.from(key), partitions)
    const [value] = yield* write("numbers", [isDeleted ? [key, null] : key], { partition })
    if (value === null || value === undefined) history.delete(key)
    else history.set(key, value)
    trace.push(`${isDeleted ? "delete" : "set"} ${key}`)
  })
  const compactSome = Effect.suspend(() => {
    const broker = 1 + random.below(brokers)
    trace.push(`compact at ${broker}`)
    return kafka.compact("numbers", { broker })
  })
  const cleanSome = Effect.suspend(() => {
    const broker = 1 + random.below(brokers)
    trace.push(`clean at ${broker}`)
    return kafka.compact("numbers", { broker, dropTombstones: true })
  })
  const moveSome = Effect.suspend(() => {
    const partition = random.below(partitions)
    const broker = 1 + random.below(brokers)
    trace.push(`[${partition}] is led by ${broker}`)
    return kafka.moveLeader("numbers", partition, broker)
  })

  for (let i = random.below(40); i > 0; i--) {
    yield* writeSome
    // Nobody reads yet, so that time may have passed on some brokers as it may.
    if (random.happens(0.15)) yield* cleanSome
  }
  const slowness = random.pick([0, 300, 3000])
  let isSlow = slowness > 0
  script.on("fetch", (_asks, next) => (isSlow ? Effect.delay(next, random.below(slowness)) : next))
  const subject = yield* observeNumbers({
    table: {
      catchUp: random.happens(isSlow ? 0.8 : 0.3)
        ? { mode: "background" }
        : { mode: "await", timeout: random.pick([500, 60_000]) },
      fetch: { maxPartitionBytes: random.pick([1, 200, 1_000_000]), maxWait: random.pick([500, 5000]) },
      metadataRefresh: random.pick([1000, 30_000])
    },
    // Logs hold less than the history, and one replica less than another.
    alsoAllowed: () => history
  })
  const isAway = new Set<number>()
  const comeBack = Effect.suspend(() => {
    trace.push("reconnect")
    return Effect.andThen(
      Effect.forEach([...isAway], (id) => kafka.reconnect(id), { discard: true }),
      Effect.sync(() => isAway.clear())
    )
  })
  /** Deletions that are cleaned at once, and dropped as soon as they may be, while the table can see them or cannot. */
  const age = Effect.gen(function* () {
    const isOut = random.happens(0.5)
    const time = random.pick([0.5, 1.05, 1.05, 2]) * retention
    trace.push(`age by ${time}${isOut ? ", cut off" : ""}`)
    if (isOut) yield* kafka.disconnect()
    for (let i = random.below(4); i > 0; i--) yield* writeSome
    yield* kafka.compact("numbers")
    yield* subject.pass(time, Math.max(50, time / 200))
    if (random.happens(0.3)) yield* writeSome
    yield* kafka.compact("numbers")
    if (isOut && isAway.size === 0) yield* kafka.reconnect()
    else if (isOut) for (let id = 1; id <= brokers; id++) isAway.add(id)
  })
  const equalsHistory = Effect.gen(function* () {
    yield* subject.within("a barrier", 120 * SECOND, subject.table.barrier())
    assert.deepStrictEqual(
      [...subject.contents()].sort(([a], [b]) => (a < b ? -1 : 1)),
      [...history].sort(([a], [b]) => (a < b ? -1 : 1))
    )
  })
  if (isSlow) {
    yield* subject.pass(slowness * random.below(6))
    yield* moveSome
  }
  for (let i = random.pick([0, 5, 15 + random.below(25)]); i > 0; i--) {
    const roll = random.next()
    if (roll < 0.03) {
      for (let n = 5 + random.below(20); n > 0; n--) yield* writeSome
    } else if (roll < 0.2) yield* writeSome
    else if (roll < 0.35) yield* compactSome
    else if (roll < 0.45) yield* age
    else if (roll < 0.6) yield* moveSome
    else if (roll < 0.8) {
      const millis = random.pick([100, SECOND, retention / 4, retention, 2 * retention])
      trace.push(`pass ${millis}`)
      yield* subject.pass(millis, Math.max(50, millis / 100))
    } else if (roll < 0.87) {
      const id = 1 + random.below(brokers)
      trace.push(`disconnect ${id}`)
      isAway.add(id)
      yield* kafka.disconnect(id)
    } else if (roll < 0.93) yield* comeBack
    else if (roll < 0.96) {
      isSlow = !isSlow && slowness > 0
      trace.push(`slow ${isSlow}`)
    } else if (changesRetention && isAway.size === 0) {
      retention = random.pick([10, 20, 60]) * SECOND
      trace.push(`retention ${retention}`)
      yield* client.alterConfig("numbers", { "delete.retention.ms": String(retention) })
    } else if (isAway.size === 0 && !isSlow) {
      trace.push("compare")
      yield* equalsHistory
    }
  }
  yield* comeBack
  isSlow = false
  // A retention that was lowered is seen with the next description.
  if (changesRetention) yield* subject.pass(61 * SECOND, 500)
  yield* subject.become("CaughtUp", 600 * SECOND)
  yield* equalsHistory
  yield* subject.close
})
