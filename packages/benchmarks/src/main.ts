/** `pnpm bench <name> [options]`: runs one benchmark, or compares two runs. */
import { Cause, Console, Effect, Exit } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { benchmarks } from "./benchmarks/index.ts"
import { compare, lines } from "./harness/compare.ts"
import { type Summary, summarize } from "./harness/Measurement.ts"
import { jsonLine, markdown, parseLines, table } from "./harness/report.ts"
import { versions } from "./harness/versions.ts"
import { type CompareOptions, parseOptions, type RunOptions, type SeriesOptions, usage } from "./options.ts"
import { steps } from "./series.ts"
import { open, openBrokers } from "./suite.ts"

const measure = Effect.fnUntraced(function* (options: RunOptions) {
  const suite = yield* open(options)
  return summarize(yield* benchmarks[options.name](suite))
}, Effect.scoped)

const run = Effect.fnUntraced(function* (options: RunOptions) {
  const summaries = yield* measure(options)
  if (options.json) {
    const known = versions()
    for (const summary of summaries) yield* Console.log(jsonLine(summary, known))
  } else {
    yield* Console.log(table(summaries))
  }
  return true
})

/** False where a step is none. */
const runSeries = Effect.fnUntraced(function* (options: SeriesOptions) {
  const brokers = (yield* openBrokers(options)).join(",")
  yield* Effect.promise(() => fs.mkdir(options.directory, { recursive: true }))
  const known = versions()
  const all: Array<Summary> = []
  for (const [number, [name, line]] of steps.entries()) {
    const step = parseOptions([...line.split(" "), "--brokers", brokers], {})
    if (step.kind !== "run") return false
    yield* Console.error(`pnpm bench ${line}`)
    const summaries = yield* measure(step)
    const lines = summaries.map((summary) => `${jsonLine(summary, known)}\n`).join("")
    const file = path.join(options.directory, `${String(number + 1).padStart(2, "0")}-${name}.jsonl`)
    yield* Effect.promise(() => fs.writeFile(file, lines))
    all.push(...summaries)
  }
  yield* Console.log(markdown(all))
  return true
}, Effect.scoped)

const readRuns = (files: ReadonlyArray<string>) =>
  Effect.promise(async () => parseLines((await Promise.all(files.map((file) => fs.readFile(file, "utf8")))).join("\n")))

/** False when something is worse than the threshold allows. */
const compareFiles = Effect.fnUntraced(function* ({ after, before, threshold }: CompareOptions) {
  const comparison = compare(yield* readRuns([before]), yield* readRuns([after]))
  for (const line of lines(comparison, threshold)) yield* Console.log(line)
  if (comparison.differences.length === 0) yield* Console.error("the two runs have no measurement in common")
  return comparison.differences.length > 0 && comparison.differences.every(({ worse }) => worse <= threshold)
})

const main = Effect.gen(function* () {
  const options = parseOptions(process.argv.slice(2), process.env)
  switch (options.kind) {
    case "usage":
      yield* Console.error(options.problem === undefined ? usage : `${options.problem}\n\n${usage}`)
      return options.problem === undefined
    case "compare":
      return yield* compareFiles(options)
    case "report":
      yield* Console.log(markdown(yield* readRuns(options.files)))
      return true
    case "series":
      return yield* runSeries(options)
    case "run":
      return yield* run(options)
  }
})

const fiber = Effect.runFork(main)
process.once("SIGINT", () => fiber.interruptUnsafe())
process.once("SIGTERM", () => fiber.interruptUnsafe())
fiber.addObserver((exit) => {
  if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) console.error(Cause.pretty(exit.cause))
  process.exitCode = Exit.isSuccess(exit) && exit.value ? 0 : 1
})
