/** Writes the entries of a file, once all its lines are read, the difference was shown, and somebody has said that it is meant. */
import { Effect, Result } from "effect"
import { KafkaTable } from "effect-ktables"
import { confirmed } from "../confirmed.ts"
import { keyText } from "../entries.ts"
import { CommandFailed, fromError } from "../failure.ts"
import { readFile } from "../files.ts"
import { plain, quoted } from "../formats.ts"
import { contentsOf, described, differenceOf } from "../importFile.ts"
import { counted, say, writeLines } from "../output.ts"
import { caughtUp } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"
import { type Writer, writer } from "../writing.ts"

interface Input {
  readonly topic: string
  readonly file: string
  readonly replace: boolean
  readonly yes: boolean
}

/** Writes under way at a time: enough for full batches, and few enough for each to have its whole time. */
const AT_ONCE = 500

type Write =
  | {
      readonly is: "added" | "changed"
      readonly key: Uint8Array
      readonly run: (to: Writer) => ReturnType<Writer["set"]>
    }
  | { readonly is: "deleted"; readonly key: Uint8Array; readonly run: (to: Writer) => ReturnType<Writer["delete"]> }

/** What became of the writes, so far. */
class Outcome {
  readonly written = { added: 0, changed: 0, deleted: 0 }
  readonly failures: Array<{ readonly key: Uint8Array; readonly failure: CommandFailed; readonly isUnknown: boolean }> =
    []
  /** Sent, and not heard of. */
  underWay = 0

  get count(): number {
    const { added, changed, deleted } = this.written
    return added + changed + deleted
  }
}

const one = (to: Writer, outcome: Outcome, { is, key, run }: Write): Effect.Effect<void> =>
  Effect.suspend(() => {
    // After a failure, whatever was not begun is left for the next run.
    if (outcome.failures.length > 0) return Effect.void
    outcome.underWay++
    return Effect.map(Effect.result(run(to)), (result) => {
      outcome.underWay--
      if (Result.isSuccess(result)) outcome.written[is]++
      else {
        const { failure } = result
        outcome.failures.push({ key, failure: fromError(failure), isUnknown: failure._tag === "WriteOutcomeUnknown" })
      }
    })
  })

const summary = (topic: string, outcome: Outcome, total: number, unchanged: number): string => {
  const { added, changed, deleted } = outcome.written
  const unknown = outcome.failures.filter(({ isUnknown }) => isUnknown).length + outcome.underWay
  const unwritten = total - outcome.count - unknown
  return `{"topic":${quoted(topic)},"added":${added},"changed":${changed},"deleted":${deleted},"unchanged":${unchanged},"unwritten":${unwritten},"unknown":${unknown}}`
}

/** Failures that are named: the others are counted. */
const NAMED = 10

const named = (settings: Settings, { failures }: Outcome): string => {
  const first = failures
    .slice(0, NAMED)
    .map(({ failure, key }) => `\n  ${plain(keyText(settings, key))}: ${failure.message}`)
  return `${first.join("")}${failures.length > NAMED ? `\n  and ${failures.length - NAMED} more` : ""}`
}

const GO_ON = "run the same again to go on: what the topic has by then is not written again"

const writeAll = Effect.fnUntraced(function* (
  settings: Settings,
  topic: string,
  writes: ReadonlyArray<Write>,
  unchanged: number
) {
  const to = yield* writer(settings, topic)
  const outcome = new Outcome()
  const report = Effect.suspend(() => {
    const { added, changed, deleted } = outcome.written
    const text = `added ${added}, changed ${changed}, deleted ${deleted}, left ${unchanged} as they were`
    return writeLines([outputOf(settings) === "table" ? text : summary(topic, outcome, writes.length, unchanged)])
  })
  const soFar = (): string => `${outcome.count} of ${counted(writes.length, "change", "changes")} acknowledged`
  yield* Effect.forEach(writes, (write) => one(to, outcome, write), { concurrency: AT_ONCE, discard: true }).pipe(
    Effect.onInterrupt(() =>
      Effect.andThen(
        report,
        Effect.suspend(() => say(`ktables: ${soFar()}, ${outcome.underWay} under way, which may be written; ${GO_ON}`))
      )
    )
  )
  yield* report
  const worst = outcome.failures.find(({ isUnknown }) => isUnknown) ?? outcome.failures[0]
  if (worst === undefined) return
  const detail = `${soFar()}; these failed, and after the first of them none was begun:${named(settings, outcome)}\n${GO_ON}`
  return yield* new CommandFailed({ code: worst.failure.code, detail })
})

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const { file, replace, topic, yes } = input
  const wanted = yield* contentsOf(settings, file, yield* readFile(file))
  const read = yield* caughtUp(topic, settings)
  const { view } = yield* KafkaTable.withMetadata(read)
  const difference = differenceOf(view.values(), wanted)
  const { absent, added, changed, unchanged } = difference
  const writes: ReadonlyArray<Write> = [
    ...added.map(({ headers, key, value }): Write => ({
      is: "added",
      key,
      run: (to) => to.set(key, value, { headers })
    })),
    ...changed.map(({ headers, key, value }): Write => ({
      is: "changed",
      key,
      run: (to) => to.set(key, value, { headers })
    })),
    ...(replace ? absent.map((key): Write => ({ is: "deleted", key, run: (to) => to.delete(key) })) : [])
  ]
  yield* say(`${plain(file)} into ${topic} on ${plain(settings.brokers)}:\n${described(settings, difference, replace)}`)
  if (writes.length > 0 && !yes) {
    yield* confirmed(`Write ${counted(writes.length, "record", "records")}?`, "nothing was written")
  }
  yield* writeAll(settings, topic, writes, unchanged)
})
