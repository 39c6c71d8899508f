/**
 * The `ktables` command: Kafka topics as tables in the terminal.
 *
 * **When to use**
 *
 * Run `ktables` from a shell. Import this module to give a command line of your own the same commands, or to run them from a
 * program.
 *
 * **Details**
 *
 * What a command needs beyond its help (clients, tables) is loaded when it runs.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { flags, type Settings } from "./internal/settings.ts"

const root = Command.make("ktables").pipe(
  Command.withSharedFlags(flags),
  Command.withDescription("Kafka topics as tables: the latest value of each key")
)

const topic = Argument.String("topic").pipe(
  Argument.filter(
    (name) => /^[\w.-]{1,249}$/.test(name) && !/^\.\.?$/.test(name),
    (name) => `${JSON.stringify(name)}: expected the name of a topic, letters, digits, dots, hyphens and underscores`
  ),
  Argument.withDescription("The topic's name")
)
const key = Argument.String("key").pipe(Argument.withDescription("The key, in the format of --key"))

/** What a file of `internal/commands` exports. */
interface Loaded<Input, E, R, CE, CR> {
  /** What can be known, and asked, without the cluster. */
  readonly check?: (settings: Settings, input: Input) => Effect.Effect<unknown, CE, CR>
  readonly run: (settings: Settings, input: Input) => Effect.Effect<unknown, E, R>
}

/** Loads what a command needs beyond its help, and runs it with a client of the cluster that is closed when it is done. */
const loaded = <Input, E, R, CE = never, CR = never>(load: () => Promise<Loaded<Input, E, R, CE, CR>>) =>
  Effect.fnUntraced(function* (input: Input) {
    const settings = yield* root
    const { check, run } = yield* Effect.promise(load)
    if (check !== undefined) yield* check(settings, input)
    const { client } = yield* Effect.promise(() => import("./internal/connection.ts"))
    yield* Effect.scoped(Effect.provide(run(settings, input), yield* client(settings)))
  })

const topics = Command.make(
  "topics",
  {},
  loaded(() => import("./internal/commands/topics.ts"))
).pipe(
  Command.withDescription("List the topics with their size, and which of them a table can be made of"),
  Command.withExamples([{ command: "ktables topics --brokers kafka-1:9092", description: "The topics of a cluster" }])
)

const ls = Command.make(
  "ls",
  {
    topic,
    prefix: Flag.String("prefix").pipe(
      Flag.optional,
      Flag.withMetavar("text"),
      Flag.withDescription("Only keys that begin with this, as they are shown")
    ),
    limit: Flag.Int("limit").pipe(
      Flag.filter(
        (limit) => limit > 0,
        (limit) => `${limit}: expected a number above 0`
      ),
      Flag.optional,
      Flag.withMetavar("number"),
      Flag.withDescription("At most so many entries")
    ),
    reverse: Flag.Boolean("reverse").pipe(
      Flag.withDefault(false),
      Flag.withDescription("From the last key to the first")
    )
  },
  loaded(() => import("./internal/commands/ls.ts"))
).pipe(
  Command.withDescription("List the entries of a topic, in the order of their keys"),
  Command.withExamples([
    { command: "ktables ls flags", description: "All entries" },
    { command: "ktables ls services --prefix eu- --limit 10", description: "The first ten keys that begin with eu-" }
  ])
)

const get = Command.make(
  "get",
  { topic, key },
  loaded(() => import("./internal/commands/get.ts"))
).pipe(
  Command.withDescription("Print one value, with partition, offset, age and headers of its record"),
  Command.withExamples([{ command: "ktables get flags dark-mode", description: "One flag" }])
)

const watch = Command.make(
  "watch",
  {
    topic,
    keys: Argument.String("key").pipe(Argument.variadic(), Argument.withDescription("Only these keys"))
  },
  loaded(() => import("./internal/commands/watch.ts"))
).pipe(
  Command.withDescription("Show the entries and every change after them, until Ctrl-C"),
  Command.withExamples([
    { command: "ktables watch flags", description: "A view that is drawn again when something changes" },
    { command: "ktables watch flags dark-mode | tee log", description: "A line of JSON for each change of one key" }
  ])
)

const set = Command.make(
  "set",
  { topic, key, value: Argument.String("value").pipe(Argument.withDescription("The value, in the format of --value")) },
  loaded(() => import("./internal/commands/set.ts"))
).pipe(
  Command.withDescription("Write the value of a key, and print where its record is"),
  Command.withExamples([{ command: "ktables set flags dark-mode true", description: "A value of JSON" }])
)

const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDefault(false),
  Flag.withDescription("Do not ask; needed where there is no terminal")
)

const remove = Command.make(
  "delete",
  { topic, key, yes },
  loaded(() => import("./internal/commands/remove.ts"))
).pipe(
  Command.withDescription("Delete a key: write a tombstone"),
  Command.withExamples([{ command: "ktables delete flags dark-mode --yes", description: "Without being asked" }])
)

const doctor = Command.make(
  "doctor",
  {
    topic,
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("As JSON, also on a terminal")),
    scanTime: Flag.Finite("scan-time").pipe(
      Flag.withMetavar("seconds"),
      Flag.withDefault(60),
      Flag.filter(
        (seconds) => seconds > 0 && seconds <= 86_400,
        (seconds) => `${seconds}: expected seconds, above 0 and at most a day`
      ),
      Flag.withDescription("How long records are looked at, at most")
    )
  },
  loaded(() => import("./internal/commands/doctor.ts"))
).pipe(
  Command.withDescription("Say what is wrong with a topic as a table, and what to do"),
  Command.withExamples([{ command: "ktables doctor flags", description: "Ends with 7 after warnings, 8 after errors" }])
)

const exportTopic = Command.make(
  "export",
  {
    topic,
    file: Argument.String("file").pipe(
      Argument.withDefault("-"),
      Argument.withDescription("Where to; gzip where it ends in .gz; - is standard output")
    )
  },
  loaded(() => import("./internal/commands/export.ts"))
).pipe(
  Command.withDescription("Write the entries of a topic to a file, a line of JSON each, in the order of their keys"),
  Command.withExamples([{ command: "ktables export flags flags.ndjson.gz", description: "A compressed file" }])
)

const importTopic = Command.make(
  "import",
  {
    topic,
    file: Argument.String("file").pipe(
      Argument.withDescription("What export wrote; gzip where it ends in .gz; - is standard input")
    ),
    replace: Flag.Boolean("replace").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Delete the keys that are not in the file")
    ),
    yes
  },
  loaded(() => import("./internal/commands/import.ts"))
).pipe(
  Command.withDescription("Write the entries of a file that a topic has not, after showing the difference"),
  Command.withExamples([
    { command: "ktables import flags flags.ndjson.gz", description: "Shows what would change, and asks" },
    { command: "ktables import flags flags.ndjson --replace --yes", description: "Makes the topic equal to the file" }
  ])
)

const history = Command.make(
  "history",
  {
    topic,
    key,
    all: Flag.Boolean("all").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Look into all partitions: records lie elsewhere where the topic has grown")
    )
  },
  loaded(() => import("./internal/commands/history.ts"))
).pipe(
  Command.withDescription("Print every record of a key that is still in the log, oldest first"),
  Command.withExamples([{ command: "ktables history prices apple", description: "Who changed it, and when" }])
)

const point = (name: string, description: string) =>
  Argument.String(name).pipe(
    Argument.withDescription(`${description}: a time, how long ago (30m, 2h, 7d), now, or offsets (0:120,1:98)`)
  )

const at = Command.make(
  "at",
  { topic, point: point("time", "When") },
  loaded(() => import("./internal/commands/at.ts"))
).pipe(
  Command.withDescription("List the entries of a topic as they were"),
  Command.withExamples([
    { command: "ktables at prices 2026-01-31T12:00:00Z", description: "The prices of that noon" },
    { command: "ktables at prices 2h", description: "As it was two hours ago" }
  ])
)

const diff = Command.make(
  "diff",
  { topic, from: point("from", "The earlier"), to: point("to", "The later") },
  loaded(() => import("./internal/commands/diff.ts"))
).pipe(
  Command.withDescription("List what is different between two moments of a topic"),
  Command.withExamples([{ command: "ktables diff prices 1d now", description: "What has changed since yesterday" }])
)

const serve = Command.make(
  "serve",
  {
    topics: topic.pipe(Argument.variadic({ min: 1 })),
    port: Flag.Int("port").pipe(
      Flag.withAlias("p"),
      Flag.withMetavar("number"),
      Flag.withDefault(4180),
      Flag.filter(
        (port) => port >= 0 && port <= 65_535,
        (port) => `${port}: expected a port, 0 for any that is free`
      ),
      Flag.withDescription("Where to listen; 0 for any that is free")
    ),
    host: Flag.String("host").pipe(
      Flag.withMetavar("address"),
      Flag.withDefault("127.0.0.1"),
      Flag.withDescription(
        "The address to listen at; nobody is asked who they are, so others than this machine's are a risk"
      )
    ),
    allowedHosts: Flag.String("allow-host").pipe(
      Flag.withMetavar("name"),
      Flag.atLeast(0),
      Flag.withDescription(
        "A name under which others reach it; may be given again. Requests by other names are refused"
      )
    ),
    writable: Flag.Boolean("writable").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Take PUT and DELETE of entries, too")
    )
  },
  loaded(() => import("./internal/commands/serve.ts"))
).pipe(
  Command.withDescription("Serve topics as tables over HTTP, with a live page for browsers, until Ctrl-C"),
  Command.withExamples([
    { command: "ktables serve flags services", description: "The page is at http://127.0.0.1:4180" },
    { command: "ktables serve flags --writable --port 0", description: "Takes writes, at any free port" }
  ])
)

/**
 * The command with all its subcommands.
 *
 * **Details**
 *
 * A subcommand that fails does so with an error whose `message` is one sentence, and whose exit code `NodeRuntime.runMain`
 * takes from it.
 *
 * **Example** (List a topic from a program)
 *
 * ```ts
 * import * as NodeServices from "@effect/platform-node/NodeServices"
 * import { Effect } from "effect"
 * import * as Command from "effect/cli/Command"
 * import { Ktables } from "@effect-ktables/cli"
 *
 * export const list = Command.runWith(Ktables.command, { version: "1.0.0" })(["ls", "flags", "--output", "json"]).pipe(
 *   Effect.provide(NodeServices.layer)
 * )
 * ```
 *
 * @category commands
 * @since 0.1.0
 */
export const command = root.pipe(
  Command.withSubcommands([
    topics,
    ls,
    get,
    watch,
    set,
    remove,
    history,
    at,
    diff,
    doctor,
    exportTopic,
    importTopic,
    serve
  ])
)
