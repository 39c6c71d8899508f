/**
 * A topic as a complete table, with a line on the terminal that says how far it is.
 */
import { Clock, Effect, type Scope } from "effect"
import { Codec, KafkaTable, TableTopic } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import { type CommandFailed, failed, fromError } from "./failure.ts"
import { isScreen } from "./output.ts"
import { millisOf, type Settings } from "./settings.ts"

export type RawTable = KafkaTable.WithHeaders<Uint8Array, Uint8Array>

/** Keys and values as they are: what they mean is a matter of how they are shown. */
export const rawTopic = (name: string) => TableTopic.make({ name, key: Codec.bytes, value: Codec.bytes })

/** Milliseconds between two looks at what has been read. */
const LOOK = 100

const CLEAR = "\r\u001b[K"

const seconds = (millis: number): string => {
  const whole = Math.ceil(millis / 1000)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

/** `reading flags: 120,000 of 480,000 offsets, 25 %, 3 s left`. */
export const progressLine = (topic: string, replayed: number, target: number, elapsed: number): string => {
  if (target <= 0) return `reading ${topic}`
  const percent = Math.floor((100 * replayed) / target)
  const left = replayed > 0 && elapsed >= 1000 ? `, ${seconds((elapsed * (target - replayed)) / replayed)} left` : ""
  return `reading ${topic}: ${replayed.toLocaleString("en")} of ${target.toLocaleString("en")} offsets, ${percent} %${left}`
}

/** Draws on standard error, where it is a terminal, and leaves nothing of it there. */
const progress = (topic: string, table: RawTable): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (!isScreen(process.stderr)) return
    const start = yield* Clock.currentTimeMillis
    yield* Effect.addFinalizer(() => Effect.sync(() => process.stderr.write(CLEAR)))
    const show = Effect.gen(function* () {
      const { replayed, target } = (yield* table.health).progress
      const elapsed = (yield* Clock.currentTimeMillis) - start
      process.stderr.write(CLEAR + progressLine(topic, replayed, target, elapsed))
    })
    yield* Effect.forkScoped(Effect.forever(Effect.delay(show, LOOK)))
  })

/**
 * Fails when the brokers have been away, and nothing was read, for as long as the settings allow. A slow line is no reason:
 * an answer may take long while its bytes arrive.
 */
const stalled = Effect.fnUntraced(function* (table: RawTable, limit: number): Effect.fn.Return<never, CommandFailed> {
  let last = 0
  let since = yield* Clock.currentTimeMillis
  for (;;) {
    yield* Effect.sleep(LOOK)
    const { connected, partitions, progress } = yield* table.health
    const now = yield* Clock.currentTimeMillis
    if (progress.replayed !== last) {
      last = progress.replayed
      since = now
    }
    // Until there is a target the table itself looks for brokers that long, and says what it tried; then it asks for offsets.
    const isOver = progress.target === 0 ? now - since >= 2 * limit + 1000 : !connected && now - since >= limit
    if (!isOver) continue
    const away = partitions.flatMap(({ disconnectedBecause, partition }) =>
      disconnectedBecause._tag === "Some" ? [`partition ${partition}: ${disconnectedBecause.value}`] : []
    )
    const why = away.length === 0 ? "" : ` (${away.join("; ")})`
    return yield* failed(
      "unreachable",
      `nothing of ${table.topic} was read for ${seconds(limit)}, at ${progress.replayed} of ${progress.target} offsets${why}; are its brokers up? --timeout gives them longer`
    )
  }
})

/** A table that has read its topic to the end. It follows from there until the scope closes. */
export const caughtUp = Effect.fnUntraced(function* (
  name: string,
  settings: Settings
): Effect.fn.Return<RawTable, CommandFailed, KafkaClient | Scope.Scope> {
  const limit = millisOf(settings)
  const table = yield* KafkaTable.make(rawTopic(name), {
    catchUp: { mode: "background" },
    ensureTopic: false,
    headers: true,
    startTimeout: limit
  }).pipe(Effect.mapError(fromError))
  yield* Effect.scoped(
    Effect.andThen(
      progress(name, table),
      Effect.raceFirst(Effect.mapError(table.awaitCaughtUp, fromError), stalled(table, limit))
    )
  )
  return table
})
