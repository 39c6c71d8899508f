/**
 * A topic as a complete table, with a line on the terminal that says how far it is.
 */
import { Clock, Effect, Option, type Scope } from "effect"
import { Codec, KafkaTable, TableTopic } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import { type CommandFailed, failed, fromError } from "./failure.ts"
import { cut, isScreen } from "./output.ts"
import { millisOf, type Settings } from "./settings.ts"

export type RawTable = KafkaTable.WithHeaders<Uint8Array, Uint8Array>

/** Keys and values as they are: what they mean is a matter of how they are shown. */
export const rawTopic = (name: string) => TableTopic.make({ name, key: Codec.bytes, value: Codec.bytes })

/** Milliseconds between two looks at what has been read. */
const LOOK = 100

const CLEAR = "\r\u001b[K"

/** A number of seconds. */
const spelled = (seconds: number): string =>
  seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`

/** `reading flags: 120,000 of 480,000 offsets, 25 %, 3 s left`, of which the name is cut to what the width leaves of it. */
export const progressLine = (
  topic: string,
  replayed: number,
  target: number,
  elapsed: number,
  width = Number.MAX_SAFE_INTEGER
): string => {
  const percent = Math.floor((100 * replayed) / target)
  const left =
    replayed > 0 && elapsed >= 1000
      ? `, ${spelled(Math.ceil((elapsed * (target - replayed)) / replayed / 1000))} left`
      : ""
  const rest =
    target <= 0
      ? ""
      : `: ${replayed.toLocaleString("en")} of ${target.toLocaleString("en")} offsets, ${percent} %${left}`
  const name = cut(topic, Math.max(1, width - "reading ".length - rest.length))
  return cut(`reading ${name}${rest}`, width)
}

/** Draws a line on standard error, where it is a terminal, until the scope closes, and leaves nothing of it there. */
const drawn = (
  line: (elapsed: number, width: number) => Effect.Effect<string>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (!isScreen(process.stderr)) return
    const start = yield* Clock.currentTimeMillis
    yield* Effect.addFinalizer(() => Effect.sync(() => process.stderr.write(CLEAR)))
    const show = Effect.gen(function* () {
      const elapsed = (yield* Clock.currentTimeMillis) - start
      // The last column stays free: a cursor that has no room moves to the next line.
      process.stderr.write(CLEAR + (yield* line(elapsed, (process.stderr.columns || 80) - 1)))
    })
    yield* Effect.forkScoped(Effect.forever(Effect.delay(show, LOOK)))
  })

const progress = (topic: string, table: RawTable): Effect.Effect<void, never, Scope.Scope> =>
  drawn((elapsed, width) =>
    Effect.map(table.health, ({ progress: { replayed, target } }) =>
      progressLine(topic, replayed, target, elapsed, width)
    )
  )

/** Says meanwhile for how long the past of a topic has been read, of how long it may. */
export const timed = <A, E, R>(topic: string, settings: Settings, reading: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.andThen(
      drawn((elapsed, width) => {
        const rest = `: ${spelled(Math.floor(elapsed / 1000))} of ${spelled(settings.timeout)} (--timeout)`
        return Effect.succeed(
          cut(`reading ${cut(topic, Math.max(1, width - "reading ".length - rest.length))}${rest}`, width)
        )
      }),
      reading
    )
  )

/** What `stalledFor` goes by, at one moment. */
export interface Look {
  readonly now: number
  readonly replayed: number
  /** 0 until the ends of the logs are known. */
  readonly target: number
  readonly connected: boolean
  /** When the brokers were lost; undefined where that is not known. */
  readonly disconnectedSince: number | undefined
}

/**
 * For how many milliseconds a read has been at a standstill: the brokers are away and nothing came. A slow line is none, since an
 * answer may take long while its bytes arrive; and how long a connected broker took counts for nothing once it is lost.
 */
export const stalledFor = (look: Look, movedAt: number): number =>
  look.connected ? 0 : look.now - Math.max(movedAt, look.disconnectedSince ?? movedAt)

/** Fails when nothing was read for as long as the settings allow. */
const stalled = Effect.fnUntraced(function* (table: RawTable, limit: number): Effect.fn.Return<never, CommandFailed> {
  const begin = yield* Clock.currentTimeMillis
  let last = 0
  let movedAt = begin
  for (;;) {
    yield* Effect.sleep(LOOK)
    const { connected, disconnectedSince, partitions, progress } = yield* table.health
    const now = yield* Clock.currentTimeMillis
    if (progress.replayed !== last) {
      last = progress.replayed
      movedAt = now
    }
    // Until there is a target, the table itself looks for brokers as long as it may, and says what it tried; then it asks for
    // offsets, which a connected broker may fail to answer.
    const look = { now, ...progress, connected, disconnectedSince: Option.getOrUndefined(disconnectedSince) }
    const isOver = progress.target === 0 ? now - begin >= 2 * limit + 1000 : stalledFor(look, movedAt) >= limit
    if (!isOver) continue
    const away = partitions.flatMap(({ disconnectedBecause, partition }) =>
      disconnectedBecause._tag === "Some" ? [`partition ${partition}: ${disconnectedBecause.value}`] : []
    )
    const why = away.length === 0 ? "" : ` (${away.join("; ")})`
    const where = progress.target === 0 ? "" : `, at ${progress.replayed} of ${progress.target} offsets`
    return yield* failed(
      "unreachable",
      `nothing of ${table.topic} was read for ${spelled(Math.round((now - movedAt) / 1000))}${where}${why}; are its brokers up? --timeout gives them longer`
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
