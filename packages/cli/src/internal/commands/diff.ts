/** What is different between two moments of a topic, in the order of the keys. */
import { Clock, Effect } from "effect"
import { byKey, cell, differencesOf, type Entry, field, idOf, isSameBytes, place } from "../entries.ts"
import { counted, type Printing } from "../output.ts"
import { entriesOf, givenPoint, missingAt, pastAt, reachesJson, withReach } from "../points.ts"
import { timed } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Different {
  readonly key: Uint8Array
  readonly from: Entry | undefined
  readonly to: Entry | undefined
}

/** Values are compared by their bytes. */
const differences = (from: ReadonlyArray<Entry>, to: ReadonlyArray<Entry>): ReadonlyArray<Different> => {
  const after = new Map(to.map((entry) => [idOf(entry.key), entry]))
  const { added, changed, removed } = differencesOf(from, after, (a, b) => isSameBytes(a.value, b.value))
  return [
    ...added.map((to): Different => ({ key: to.key, from: undefined, to })),
    ...changed.map(({ from, to }): Different => ({ key: to.key, from, to })),
    ...removed.map((from): Different => ({ key: from.key, from, to: undefined }))
  ].sort(byKey)
}

const kindOf = ({ from, to }: Different): "added" | "removed" | "changed" =>
  from === undefined ? "added" : to === undefined ? "removed" : "changed"

const side = (settings: Settings, name: "from" | "to", entry: Entry | undefined): string =>
  entry === undefined ? "" : `,"${name}":{${field("value", settings.value, entry.value)},${place(entry)}}`

const toJson = (settings: Settings, different: Different): string =>
  `{"change":"${kindOf(different)}",${field("key", settings.key, different.key)}${side(settings, "from", different.from)}${side(settings, "to", different.to)}}`

interface Input {
  readonly topic: string
  readonly from: string
  readonly to: string
}

export const check = (_: Settings, { from, to }: Input) => Effect.all([givenPoint(from, 0), givenPoint(to, 0)])

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const now = yield* Clock.currentTimeMillis
  const past = (point: string) => pastAt(settings, input.topic, point, now)
  const [from, to] = yield* timed(
    input.topic,
    settings,
    Effect.all([past(input.from), past(input.to)], { concurrency: 2 })
  )
  const found = differences(yield* entriesOf(from), yield* entriesOf(to))
  const shown = (entry: Entry | undefined): string => (entry === undefined ? "" : cell(settings.value, entry.value))
  const printing: Printing<Different> = {
    toJson: (different) => toJson(settings, different),
    heads: ["CHANGE", "KEY", "FROM", "TO"],
    row: (different) => [
      kindOf(different),
      cell(settings.key, different.key),
      shown(different.from),
      shown(different.to)
    ],
    flexible: 3
  }
  yield* withReach(outputOf(settings), found, printing, {
    name: "differences",
    members: `"from":${reachesJson(from.partitions)},"to":${reachesJson(to.partitions)}`,
    complete: `${counted(found.length, "difference", "differences")}, none is missing`,
    missing: [missingAt(from), missingAt(to)].filter((why) => why !== undefined)
  })
})
