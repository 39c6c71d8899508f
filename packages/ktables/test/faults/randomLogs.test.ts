/**
 * Random logs, before and during a table's life, against an oracle. `SEED=n` runs one case again, `SOAK=1` runs
 * thousands.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Scope } from "effect"
import { KafkaTable } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory, onCluster } from "../support/kafka.ts"
import { contentsOf } from "../support/oracle.ts"
import { decodingOf, makeRandomLog, randomOptions, tableOptionsOf, topicOf } from "../support/randomLog.ts"
import { altered, onScript, Script } from "../support/script.ts"
import { CountingClock, observe } from "../support/subject.ts"
import { pass, settle, within } from "../support/time.ts"

const sorted = (entries: Iterable<readonly [string | number, number]>): ReadonlyArray<string> =>
  [...entries].map((entry) => JSON.stringify(entry)).sort()

/** Sizes and waits that make answers small or large, and timers fire. */
const randomFetch = (random: Chance): KafkaTable.Options => ({
  fetch: {
    maxWait: random.pick([100, 1000, 5000]),
    maxPartitionBytes: random.pick([1, 100, 300, 1_000_000]),
    maxBytes: random.pick([200, 1_000_000])
  },
  metadataRefresh: random.pick([1000, 30_000])
})

const passing = [
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.OFFSET_NOT_AVAILABLE,
  ErrorCode.UNKNOWN_SERVER_ERROR
]

describe("random logs", () => {
  it.effect(
    "a table equals the oracle whatever happened to its log and its brokers",
    () =>
      forEachSeed(seedsOf(250, 6000), (seed, trace) => {
        const random = chance(seed)
        const options = randomOptions(random)
        trace.push(JSON.stringify(options))
        return onScript(
          Effect.gen(function* () {
            const kafka = yield* memory
            const script = yield* Script
            const log = yield* makeRandomLog(random, options, trace)
            for (let i = random.below(40); i > 0; i--) yield* log.write
            if (random.happens(0.2)) yield* log.compactAway
            if (random.happens(0.1)) yield* log.deleteRecords
            if (random.happens(0.3)) {
              script.on("fetch", (asks, next) => {
                const roll = random.next()
                if (roll < 0.2) return Effect.delay(next, random.below(500))
                if (roll < 0.3)
                  return altered<"fetch">((answer) => ({ ...answer, throttle: random.below(300) }))(asks, next)
                if (roll < 0.4) {
                  return altered<"fetch">((answer) => ({ ...answer, partitions: answer.partitions.slice(1) }))(
                    asks,
                    next
                  )
                }
                return next
              })
            }
            log.beginReading()
            let also: ReadonlyMap<string | number, number> | undefined
            const subject = yield* observe(topicOf(options), {
              decoding: decodingOf(options),
              alsoAllowed: () => also,
              table: {
                ...tableOptionsOf(options),
                ...randomFetch(random),
                catchUp: random.happens(0.2)
                  ? { mode: "background" }
                  : { mode: "await", timeout: random.pick([50, 30_000]) }
              }
            })

            const isAway = new Set<number>()
            const broker = () => 1 + random.below(options.brokers)
            const steps = random.below(40)
            for (let i = 0; i < steps; i++) {
              const roll = random.next()
              if (roll < 0.55) yield* log.write
              else if (roll < 0.75) {
                const millis = random.pick([0, 20, 100, 1000, 3000])
                trace.push(`pass ${millis}`)
                yield* subject.pass(millis, 100)
              } else if (roll < 0.8) {
                const id = broker()
                trace.push(`disconnect ${id}`)
                isAway.add(id)
                yield* kafka.disconnect(id)
              } else if (roll < 0.84) {
                for (const id of isAway) yield* kafka.reconnect(id)
                trace.push("reconnect")
                isAway.clear()
              } else if (roll < 0.88) {
                const partition = random.below(log.partitions())
                const leader = random.happens(0.2) ? undefined : broker()
                trace.push(`leader of [${partition}] ${leader}`)
                yield* kafka.moveLeader("log", partition, leader)
              } else if (roll < 0.92) {
                const code = random.pick(passing)
                const request = random.pick(["fetch", "listOffsets", "describeTopic", "endOffsetForEpoch"] as const)
                trace.push(`fail ${request} with ${code}`)
                yield* kafka.fail({ request }, code, { times: 1 + random.below(3) })
              } else if (roll < 0.94) yield* log.truncate
              else if (roll < 0.96) yield* log.deleteRecords
              else if (roll < 0.97) yield* log.recreate
              else if (roll < 0.985) yield* log.grow
              else if (isAway.size === 0 && !log.hasOpenTransactions()) {
                for (let p = 0; p < log.partitions(); p++) yield* kafka.moveLeader("log", p, broker())
                yield* subject.within("a barrier", 60_000, subject.table.barrier())
                yield* log.compactAway
              }
            }
            yield* kafka.reconnect()
            yield* kafka.clearFailures
            yield* log.settleTransactions
            for (let p = 0; p < log.partitions(); p++) yield* kafka.moveLeader("log", p, broker())
            trace.push("end")
            yield* subject.within("a barrier", 60_000, subject.table.barrier())
            also = yield* log.remembered
            yield* subject.become("CaughtUp")
            yield* subject.verify()
          }),
          { brokers: options.brokers, requestTimeout: 10_000 }
        )
      }),
    propertyTimeout
  )

  it.effect(
    "no aborted record of a random transactional log ever leaks, loaded or followed",
    () =>
      forEachSeed(seedsOf(250, 10_000), (seed, trace) => {
        const random = chance(seed)
        const options = { ...randomOptions(random), isolation: "read_committed", brokers: 1 } as const
        trace.push(JSON.stringify(options))
        return onCluster(
          Effect.gen(function* () {
            const kafka = yield* memory
            const log = yield* makeRandomLog(random, { ...options, poison: false, truncates: false }, trace)
            for (let i = random.below(60); i > 0; i--) yield* log.write
            if (random.happens(0.3)) yield* log.compactAway
            const table = yield* within(
              "building the table",
              10_000,
              KafkaTable.make(topicOf(options), { ...randomFetch(random), ensureTopic: false })
            )
            const agrees = Effect.gen(function* () {
              const all = yield* kafka.log("log")
              // Behind an open transaction nothing is stable yet.
              const stable = all.filter(
                ({ offset, partition }) =>
                  !all.some((one) => one.state === "open" && one.partition === partition && one.offset <= offset)
              )
              const wanted = contentsOf(stable, log.partitions(), decodingOf(options))
              const also = yield* log.remembered
              const actual = sorted(Array.from(table.view))
              if (also === undefined || JSON.stringify(actual) === JSON.stringify(sorted(wanted))) {
                return assert.deepStrictEqual(actual, sorted(wanted))
              }
              assert.deepStrictEqual(actual, sorted(also))
            })
            yield* agrees
            for (let i = random.below(40); i > 0; i--) yield* log.write
            yield* log.settleTransactions
            trace.push("end")
            yield* within("a barrier", 10_000, table.barrier())
            yield* agrees
          })
        )
      }),
    propertyTimeout
  )

  it.effect(
    "row 49: a table that is closed at any moment ends in bounded time and leaves nothing behind",
    () =>
      forEachSeed(seedsOf(150, 3000), (seed, trace) => {
        const random = chance(seed)
        const options = randomOptions(random)
        trace.push(JSON.stringify(options))
        return onCluster(
          Effect.gen(function* () {
            const kafka = yield* memory
            const log = yield* makeRandomLog(random, options, trace)
            for (let i = random.below(30); i > 0; i--) yield* log.write
            const clock = new CountingClock(yield* Clock.Clock)
            const scope = yield* Scope.make()
            if (random.happens(0.3)) yield* kafka.pause(1)
            if (random.happens(0.2)) yield* kafka.disconnect(1)
            yield* Effect.forkIn(
              Effect.gen(function* () {
                const table = yield* KafkaTable.make(topicOf(options), {
                  ...tableOptionsOf(options),
                  ...randomFetch(random),
                  catchUp: random.happens(0.5) ? { mode: "background" } : { mode: "await", timeout: 200 }
                }).pipe(Scope.provide(scope))
                yield* Effect.forkIn(table.barrier(), scope)
                yield* Effect.forkIn(table.awaitCaughtUp, scope)
              }).pipe(Effect.provideService(Clock.Clock, clock)),
              scope,
              { startImmediately: true }
            )
            const steps = random.below(12)
            for (let i = 0; i < steps; i++) {
              const roll = random.next()
              if (roll < 0.4) {
                for (let turns = random.below(6); turns > 0; turns--) yield* Effect.yieldNow
              } else if (roll < 0.6) yield* pass(random.below(300), Effect.void, 50)
              else if (roll < 0.8) yield* log.write
              else if (roll < 0.87) yield* log.truncate
              else if (roll < 0.92) yield* log.recreate
              else if (roll < 0.96) yield* kafka.pause(1 + random.below(options.brokers))
              else yield* kafka.disconnect(1 + random.below(options.brokers))
            }
            trace.push("close")
            yield* within("closing", 500, Scope.close(scope, Exit.void))
            yield* settle
            assert.strictEqual(clock.sleeping, 0, "timers left")
            assert.strictEqual(yield* kafka.held, 0, "requests left")
            const requests = JSON.stringify([...(yield* kafka.requests)])
            yield* pass(60_000, Effect.void, 20_000)
            assert.strictEqual(JSON.stringify([...(yield* kafka.requests)]), requests, "requests after the end")
          }),
          { brokers: options.brokers, requestTimeout: 10_000 }
        )
      }),
    propertyTimeout
  )
})
