/**
 * The demo: several writers announce the packages that are installed here, upgrade some and remove others; a table that
 * joins in the middle follows. It ends with a comparison of the table and what was written.
 */
import { Array, Clock, Effect, Equal, Fiber, Hash, HashMap, Option, Schedule, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, KafkaTopic, type WriteAck } from "effect-ktables"
import { readManifests } from "./manifests.ts"
import { type Display, type Observer, observe } from "./observe.ts"
import { type Package, packages, upgraded } from "./Package.ts"
import type { Output } from "./terminal/Output.ts"
import { changeText, type Course, facts, type Picture, progress } from "./terminal/Picture.ts"
import { count, span } from "./terminal/text.ts"

/** The table does not hold what was written. */
export class TableDiffers extends Schema.TaggedError<TableDiffers>()("TableDiffers", {
  keys: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `the table differs from what was written at ${this.keys.length} keys: ${this.keys.slice(0, 5).join(", ")}`
  }
}

const WRITERS = 3
const STEPS = 4

const display: Display<Package> = {
  columns: [
    { title: "PACKAGE", width: 0 },
    { title: "VERSION", width: 14 },
    { title: "LICENCE", width: 14 },
    { title: "DEPS", width: 4, align: "right" }
  ],
  cells: (name, { dependencies, license, version }) => [name, version, license, String(dependencies)],
  detail: (value, previous) =>
    Option.isNone(previous) ? value.version : `${previous.value.version} → ${value.version}`
}

const median = (values: ReadonlyArray<number>): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

/** Every so many of a list: changes all over the table. */
const every = <A>(items: ReadonlyArray<A>, step: number): ReadonlyArray<A> => items.filter((_, i) => i % step === 1)

const differences = (expected: ReadonlyMap<string, Package>, actual: HashMap.HashMap<string, Package>) => {
  const keys = new Set([...expected.keys(), ...HashMap.keys(actual)])
  return [...keys].filter((key) => !Equal.equals(HashMap.get(actual, key), Option.fromUndefinedOr(expected.get(key))))
}

export interface DemoOptions {
  readonly topic: string
  /** Which Kafka, for the person. */
  readonly where: string
  readonly notice: () => string | undefined
}

/** Runs the demo and returns its last line. */
export const demo = Effect.fnUntraced(function* (output: Output, options: DemoOptions) {
  let course: Course = { step: 1, steps: STEPS, doing: "reading manifests", done: 0, total: 0, latency: undefined }
  let observer: Observer | undefined
  const latencies: Array<number> = []

  const look = Effect.gen(function* () {
    const observed = observer === undefined ? undefined : yield* observer.look
    const picture: Picture = {
      title: `npm packages as a live table · topic ${options.topic} · ${options.where}`,
      columns: display.columns,
      table: undefined,
      rate: 0,
      rows: () => [],
      changes: [],
      ...observed,
      course: { ...course, latency: median(latencies) },
      notice: options.notice(),
      hint: undefined
    }
    return picture
  })
  const began = yield* Clock.currentTimeMillis
  const showOnce = Effect.map(look, output.show)
  const lineOnce = Effect.gen(function* () {
    const { changes, course, rate, table } = yield* look
    const seconds = (((yield* Clock.currentTimeMillis) - began) / 1000).toFixed(1).padStart(4)
    const { doing, done, latency, total } = course!
    const last = changes[0]
    output.line(
      [
        `${seconds} s  ${doing}${total === 0 ? "" : ` ${count(done)}/${count(total)}`}`,
        ...(table === undefined ? [] : facts(table, rate)),
        ...(latency === undefined ? [] : [`readable after ${span(latency)}`]),
        ...(last === undefined ? [] : [changeText(last)])
      ].join(" · ")
    )
  })
  output.line(`npm packages as a live table · topic ${options.topic} · ${options.where}`)
  yield* showOnce
  const showing = yield* output.isScreen
    ? Effect.forkScoped(Effect.repeat(showOnce, Schedule.spaced("80 millis")))
    : Effect.forkScoped(Effect.repeat(Effect.delay(lineOnce, "500 millis"), Schedule.forever))

  const manifests = yield* readManifests
  const topic = packages(options.topic)
  course = { ...course, doing: `creating the topic on ${options.where}` }
  yield* KafkaTopic.ensure(topic, { startTimeout: "5 seconds" })
  const writers = yield* Effect.forEach(
    Array.range(1, WRITERS),
    () => KafkaTableWriter.make(topic, { ensureTopic: false }),
    { concurrency: "unbounded" }
  )
  // Writers keep their own order, not each other's: each package has one writer.
  const writerOf = (name: string) => writers[Math.abs(Hash.string(name)) % WRITERS]!

  /** What the log should amount to: kept by the acknowledgements, apart from any table. */
  const written = new Map<string, Package>()
  const announce = Effect.fnUntraced(function* (name: string, value: Package) {
    const ack = yield* writerOf(name).set(name, value)
    written.set(name, value)
    return ack
  })
  const remove = Effect.fnUntraced(function* (name: string) {
    const ack = yield* writerOf(name).delete(name)
    written.delete(name)
    return ack
  })

  /** Begins the writes evenly over a time in which a person can watch them; none waits for the one before it. */
  const inTime = <A, E, R>(
    doing: string,
    items: ReadonlyArray<A>,
    millis: number,
    write: (item: A) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, E, R> =>
    Effect.suspend(() => {
      course = { ...course, doing, done: 0, total: items.length }
      return Effect.forEach(
        items,
        (item, i) =>
          Effect.delay(write(item), (i * millis) / items.length).pipe(
            Effect.tap(() => Effect.sync(() => (course = { ...course, done: course.done + 1 })))
          ),
        { concurrency: "unbounded", discard: true }
      )
    })

  const early = manifests.filter((_, i) => i % 2 === 0)
  const late = manifests.filter((_, i) => i % 2 === 1)
  yield* inTime(`${WRITERS} writers announce packages`, early, 500, ([name, value]) => announce(name, value))
  output.line(`${count(early.length)} packages are announced; now the table joins`)

  const table = yield* KafkaTable.make(topic, { ensureTopic: false, catchUp: { mode: "background" } })
  observer = yield* observe(table, display)
  yield* table.awaitCaughtUp
  const caughtUp = progress((yield* observer.look).table!)
  output.line(`the table is caught up: ${caughtUp.text}`)

  /** Writes, and waits until the table has it. */
  const readBack = <A, E, R>(write: (item: A) => Effect.Effect<WriteAck.WriteAck, E, R>) =>
    Effect.fnUntraced(function* (item: A) {
      const start = yield* Clock.currentTimeNanos
      const ack = yield* write(item)
      yield* table.awaitOffset(ack)
      latencies.push(Number((yield* Clock.currentTimeNanos) - start) / 1e6)
    })

  const upgrades = every(manifests, 3)
  const removals = every(manifests, 6)
  const steps = Effect.gen(function* () {
    course = { ...course, step: 2 }
    yield* inTime(
      "more are announced",
      late,
      1200,
      readBack(([name, value]) => announce(name, value))
    )
    course = { ...course, step: 3 }
    yield* inTime(
      "packages are upgraded",
      upgrades,
      2000,
      readBack(([name, value]) => announce(name, upgraded(value)))
    )
    course = { ...course, step: 4 }
    yield* inTime(
      "packages are removed",
      removals,
      1100,
      readBack(([name]) => remove(name))
    )
    yield* table.barrier({ timeout: "10 seconds" })
  })
  yield* Effect.raceFirst(steps, table.failure)

  const wrong = differences(written, yield* table.snapshot)
  course = { ...course, doing: "compared with what was written", done: 0, total: 0 }
  if (output.isScreen) {
    // Long enough to see the end.
    yield* Effect.sleep("500 millis")
  } else {
    yield* Fiber.interrupt(showing)
    yield* lineOnce
  }
  yield* showOnce
  if (wrong.length > 0) return yield* new TableDiffers({ keys: wrong })
  const announced = `${count(manifests.length)} announced, ${count(upgrades.length)} upgraded, ${count(removals.length)} removed`
  return `The table's ${count(written.size)} entries equal what ${WRITERS} writers wrote (${announced}).`
})
