/** What others do to the files of a checkpoint while its table lives: the table says so, goes on, and the next start is exact. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option, Schedule } from "effect"
import { CheckpointStore, KafkaTable } from "effect-ktables"
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { withTopic } from "../faults/fixtures.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { numbers } from "../table/fixtures.ts"
import { checkpointOf } from "./fixtures.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "checkpoints-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
)

type Table = KafkaTable.KafkaTable<string, number>

const until = (what: string, condition: Effect.Effect<boolean>) =>
  condition.pipe(
    Effect.repeat({ until: (isSo) => isSo, schedule: Schedule.spaced(10) }),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`not in time: ${what}`)) })
  )

const problemOf = (table: Table) =>
  Effect.map(checkpointOf(table), ({ problem }) => Option.getOrElse(problem, () => ""))

const saved = (table: Table) =>
  until(
    "a save",
    Effect.map(checkpointOf(table), ({ savedAt }) => Option.isSome(savedAt))
  )

/** The life of a table with its checkpoint in a folder, and what it logs. */
const life = Effect.fnUntraced(function* <E, R>(directory: string, use: (table: Table) => Effect.Effect<void, E, R>) {
  const lines: Array<string> = []
  yield* KafkaTable.make(numbers, { checkpoint: { every: 100 } }).pipe(
    Effect.flatMap(use),
    Effect.scoped,
    Effect.provide([
      CheckpointStore.layerFileSystem(directory),
      Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
    ])
  )
  return lines
})

/** The next start has what the log has, whatever is left, and leaves what can be used. */
const isExact = Effect.fnUntraced(function* (directory: string, expected: ReadonlyArray<string>) {
  const compare = (table: Table) => Effect.sync(() => assert.sameMembers([...table.view.keys()], [...expected]))
  yield* life(directory, (table) => Effect.andThen(compare(table), saved(table)))
  yield* life(directory, (table) =>
    Effect.gen(function* () {
      yield* compare(table)
      assert.deepStrictEqual((yield* checkpointOf(table)).resumed, [0])
    })
  )
})

const harms: ReadonlyArray<readonly [string, (directory: string, file: string) => void, RegExp]> = [
  ["whose folder is removed", (directory) => rmSync(directory, { recursive: true }), /right to write it/],
  ["whose file is removed", (_, file) => rmSync(file), /removed or replaced/],
  ["whose lock is removed", (_, file) => rmSync(file.replace(/ckpt$/, "lock")), /right to write it/],
  [
    "whose file is replaced",
    (_, file) => {
      writeFileSync(`${file}.other`, "of somebody else")
      renameSync(`${file}.other`, file)
      rmSync(file)
    },
    /removed or replaced/
  ],
  ["whose file is emptied", (_, file) => truncateSync(file, 0), /has cut the file off/],
  ["whose file is cut off", (_, file) => truncateSync(file, readFileSync(file).length - 1), /has cut the file off/]
]

describe("a table with a checkpoint", () => {
  for (const [what, harm, reason] of harms) {
    it.live(`${what} while it lives says once that it is not saved, goes on, and is exact when it starts again`, () =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          yield* write("numbers", keys(20))
          const directory = path.join(yield* folder, "checkpoints")
          const lines = yield* life(directory, (table) =>
            Effect.gen(function* () {
              yield* saved(table)
              yield* write("numbers", ["before", ["k3", null]])
              yield* until("the change", table.has("before"))
              harm(directory, path.join(directory, "numbers.ckpt"))
              yield* write("numbers", ["late", ["k4", null]])
              yield* until(
                "the problem",
                Effect.map(problemOf(table), (said) => reason.test(said))
              )
              yield* write("numbers", ["later"])
              yield* until("the later change", table.has("later"))
            })
          )
          assert.lengthOf(
            lines.filter((line) => reason.test(line)),
            1
          )
          const left = keys(20).filter((key) => key !== "k3" && key !== "k4")
          yield* isExact(directory, [...left, "before", "late", "later"])
        })
      )
    )
  }

  it.live("whose file is overwritten in its place goes on, and is exact when it starts again", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(20))
        const directory = yield* folder
        yield* life(directory, (table) =>
          Effect.gen(function* () {
            yield* saved(table)
            const file = path.join(directory, "numbers.ckpt")
            const bytes = readFileSync(file)
            writeFileSync(file, bytes.fill(0xff, bytes.length >> 1))
            yield* write("numbers", ["late", ["k4", null]])
            yield* until("the change", table.has("late"))
          })
        )
        yield* isExact(directory, [...keys(20).filter((key) => key !== "k4"), "late"])
      })
    )
  )

  for (const [what, place, reason] of [
    [
      "whose folder is a file",
      (directory: string) => writeFileSync(directory, ""),
      /not a directory|file already exists/
    ],
    [
      "whose file is a folder",
      (directory: string) => void mkdirSync(path.join(directory, "numbers.ckpt"), { recursive: true }),
      /illegal operation on a directory/
    ],
    [
      "whose file is of somebody else",
      (directory: string) => {
        mkdirSync(directory)
        writeFileSync(path.join(directory, "numbers.ckpt"), "a letter to somebody else")
      },
      /left as it is/
    ]
  ] as const) {
    it.live(`${what} starts without one, leaves it as it is, and says so`, () =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          yield* write("numbers", keys(20))
          const directory = path.join(yield* folder, "checkpoints")
          place(directory)
          const lines = yield* life(directory, (table) =>
            Effect.gen(function* () {
              assert.strictEqual(yield* table.size, 20)
              yield* until(
                "the problem",
                Effect.map(problemOf(table), (said) => reason.test(said))
              )
              yield* write("numbers", ["late"])
              yield* until("the change", table.has("late"))
            })
          )
          const said = lines.filter((line) => line.includes("not saved"))
          assert.lengthOf(said, 1, said.join("\n"))
        })
      )
    )
  }

  it.live("whose folder is made usable while it lives is saved then", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(20))
        const directory = path.join(yield* folder, "checkpoints")
        writeFileSync(directory, "")
        yield* life(directory, (table) =>
          Effect.gen(function* () {
            yield* until(
              "the problem",
              Effect.map(problemOf(table), (said) => said !== "")
            )
            yield* write("numbers", ["late"])
            rmSync(directory)
            yield* saved(table)
            assert.strictEqual(yield* problemOf(table), "")
          })
        )
        yield* isExact(directory, [...keys(20), "late"])
      })
    )
  )
})
