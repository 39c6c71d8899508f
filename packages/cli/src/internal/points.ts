/** Places in the past of a topic, as they are given on a command line, and what is known of them. */
import { Array as Arrays, Effect } from "effect"
import { KafkaTable } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import type { Entry } from "./entries.ts"
import { type CommandFailed, failed, fromError } from "./failure.ts"
import { rawTopic } from "./reading.ts"
import { type Output, type Printing, say, writeLines, writeResults } from "./output.ts"
import { millisOf, type Settings } from "./settings.ts"

export type Past = KafkaTable.Past<Uint8Array, Uint8Array, Entry>

const MILLIS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const EXPECTED = "a time as 2026-01-31T12:00:00Z, how long ago as 90s, 30m, 2h or 7d, now, or offsets as 0:120,1:98"

/** A time is milliseconds since the epoch; undefined where the text is neither a time nor offsets. */
export const pointOf = (text: string, now: number): Date | ReadonlyMap<number, number> | undefined => {
  if (text === "now") return new Date(now)
  const ago = /^(\d{1,9})([smhd])$/.exec(text)
  if (ago !== null) return new Date(now - Number(ago[1]) * MILLIS[ago[2]!]!)
  if (/^\d+:\d+(,\d+:\d+)*$/.test(text)) {
    const pairs = text.split(",").map((pair) => pair.split(":").map(Number) as [number, number])
    const offsets = new Map(pairs)
    return offsets.size === pairs.length && pairs.every((pair) => pair.every(Number.isSafeInteger))
      ? offsets
      : undefined
  }
  // Only what names its day: shorter texts are read as other things than they look like.
  const time = /^\d{4}-\d\d-\d\d(T.*)?$/.test(text) ? new Date(text) : undefined
  return time === undefined || Number.isNaN(time.getTime()) ? undefined : time
}

/** Fails where a text is no place. */
export const givenPoint = (
  text: string,
  now: number
): Effect.Effect<Date | ReadonlyMap<number, number>, CommandFailed> => {
  const point = pointOf(text, now)
  return point === undefined
    ? Effect.fail(failed("usage", `${JSON.stringify(text)} is no place in the past: expected ${EXPECTED}`))
    : Effect.succeed(point)
}

/** The topic as it was. */
export const pastAt = Effect.fnUntraced(function* (
  settings: Settings,
  topic: string,
  text: string,
  now: number
): Effect.fn.Return<Past, CommandFailed, KafkaClient> {
  const point = yield* givenPoint(text, now)
  return yield* KafkaTable.at(rawTopic(topic), point, { headers: true, timeout: millisOf(settings) }).pipe(
    Effect.mapError(readError)
  )
})

/** What a reading fails with: it has all of `--timeout`. */
export const readError = (error: { readonly _tag: string; readonly message: string }): CommandFailed =>
  error._tag === "ReadTimeout" ? failed("unreachable", `${error.message}; --timeout gives it longer`) : fromError(error)

/** The entries of a moment. */
export const entriesOf = (past: Past): Effect.Effect<ReadonlyArray<Entry>> =>
  Effect.map(Effect.forEach(past.view.keys(), past.getEntry), Arrays.getSomes)

/** Offsets as `pointOf` reads them. */
export const offsetsText = (offsets: ReadonlyMap<number, number>): string =>
  Array.from(offsets, ([partition, offset]) => `${partition}:${offset}`).join(",")

/** How far an answer about a partition can be relied on. */
export interface Reach {
  readonly partition: number
  readonly offset: number
  readonly logStart: number
  readonly completeFrom: number
}

export const reachJson = ({ completeFrom, logStart, offset, partition }: Reach): string =>
  `{"partition":${partition},"offset":${offset},"logStart":${logStart},"completeFrom":${completeFrom}}`

export const reachesJson = (reaches: ReadonlyArray<Reach>): string => `[${reaches.map(reachJson).join(",")}]`

/** Where keys may be missing, since compaction or retention has removed records; undefined where none are. */
export const missingAt = (past: Past): string | undefined => {
  if (past.isComplete) return undefined
  const missing = past.partitions.filter(({ completeFrom, offset }) => offset < completeFrom)
  const from = offsetsText(new Map(missing.map(({ completeFrom, partition }) => [partition, completeFrom])))
  return `keys may be missing at ${offsetsText(past.offsets)}: records of that time are gone from the log; answers are complete from ${from} on`
}

/**
 * Says of results of the past whether they are all there are. Programs are given a last line, `{"complete":…}`, which is the head of
 * a document of JSON; people are given a sentence below the table.
 */
export const withReach = <A>(
  output: Output,
  results: ReadonlyArray<A>,
  printing: Printing<A>,
  of: {
    /** The list in a document of JSON. */
    readonly name: string
    /** Members beside `complete`. */
    readonly members: string
    /** What is said where nothing is missing. */
    readonly complete: string
    readonly missing: ReadonlyArray<string>
  }
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { complete, members, missing, name } = of
    const head = `"complete":${missing.length === 0},${members}`
    switch (output) {
      case "json":
        yield* writeLines([
          `{${head},"${name}":[${results.length === 0 ? "]}" : ""}`,
          ...results.map((result, i) => ` ${printing.toJson(result)}${i === results.length - 1 ? "]}" : ","}`)
        ])
        break
      case "ndjson":
        yield* writeResults(output, results, printing)
        yield* writeLines([`{${head}}`])
        break
      case "table":
        if (results.length > 0) yield* writeResults(output, results, printing)
        yield* writeLines(
          missing.length === 0 ? [`complete: ${complete}`] : missing.map((why) => `not complete: ${why}`)
        )
        return
    }
    for (const why of missing) yield* say(`ktables: ${why}`)
  })
