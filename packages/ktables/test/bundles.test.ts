/** The quick start of the README as one file, as bundlers make it for programs that are deployed without node_modules. */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { Effect, Exit } from "effect"
import { build, type Format } from "esbuild"
import { assertForBrowsers, browserBundle, ofNode } from "./support/browserBundle.ts"

const root = path.resolve(import.meta.dirname, "../../..")

/** For what a bundle holds of CommonJS: it calls a require that modules do not have. */
const requireOfModules = `import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url)`

const quickStart = Effect.promise(async () => {
  const readme = await readFile(path.join(root, "README.md"), "utf8")
  return /## Quick start[\s\S]*?```ts\n([\s\S]*?)```/.exec(readme)![1]!
})

/** Bundles a program into a folder in which nothing else is, and runs it there. */
const run = Effect.fnUntraced(function* (source: string, format: Format, banner = "") {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(path.join(tmpdir(), "effect-ktables-bundle-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const outfile = path.join(folder, format === "cjs" ? "main.cjs" : "main.mjs")
  return yield* Effect.promise(async () => {
    await build({
      stdin: { contents: source, loader: "ts", resolveDir: import.meta.dirname },
      bundle: true,
      platform: "node",
      target: "node22",
      format,
      outfile,
      conditions: ["source"],
      alias: { "@effect-ktables/kafkajs": path.join(root, "packages/kafkajs/src/index.ts") },
      banner: { js: banner },
      logLevel: "silent"
    })
    await writeFile(path.join(folder, "package.json"), "{}")
    const { stderr, stdout } = await promisify(execFile)(process.execPath, [outfile], { cwd: folder, env: {} })
    return { stdout, stderr }
  })
}, Effect.scoped)

describe("a bundle", () => {
  for (const format of ["esm", "cjs"] as const) {
    it.live(`by esbuild in the format ${format} runs the quick start`, () =>
      Effect.gen(function* () {
        const { stderr, stdout } = yield* run(yield* quickStart, format)
        assert.include(stdout, "ServiceRecord")
        assert.include(stdout, "10.0.0.7")
        assert.strictEqual(stderr, "")
      })
    )

    it.live(`by esbuild in the format ${format} names the optional package that it cannot load`, () =>
      Effect.gen(function* () {
        const { stdout } = yield* run(
          `import { Console, Effect, Schema } from "effect"
          import { KafkaTableWriter, TableTopic } from "effect-ktables"
          import * as MemoryKafka from "effect-ktables/MemoryKafka"
          const topic = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Int })
          KafkaTableWriter.make(topic, { compression: "snappy" }).pipe(
            Effect.flip,
            Effect.flatMap((error) => Console.log(error.message)),
            Effect.scoped,
            Effect.provide(MemoryKafka.layer),
            Effect.runPromise
          )`,
          format
        )
        assert.include(stdout, "npm install snappy")
      })
    )

    it.live(`by esbuild in the format ${format} holds kafkajs' transport`, () =>
      Effect.gen(function* () {
        const { stdout } = yield* run(
          `import { KafkaJsClient } from "@effect-ktables/kafkajs"
          import { Console, Effect, Schema } from "effect"
          import { KafkaTable, TableTopic } from "effect-ktables"
          const topic = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Int })
          KafkaTable.make(topic, { startTimeout: 200 }).pipe(
            Effect.flip,
            Effect.flatMap((error) => Console.log(error._tag)),
            Effect.scoped,
            Effect.provide(KafkaJsClient.layer({ brokers: "127.0.0.1:1" })),
            Effect.runPromise
          )`,
          format,
          format === "esm" ? requireOfModules : ""
        )
        assert.strictEqual(stdout.trimEnd().split("\n").at(-1), "Unreachable")
      })
    )
  }
})

/** What a browser can load: declarations, codecs, and what tables say. */
const entries = [
  "Codec",
  "Table",
  "TableChange",
  "TableEntry",
  "TableError",
  "TablePosition",
  "TableReplication",
  "TableStatus",
  "TableTopic",
  "WriteAck"
] as const

describe("a bundle for browsers", () => {
  for (const entry of entries) {
    it.live(`of effect-ktables/${entry} holds nothing of Node's`, () =>
      Effect.gen(function* () {
        const bundle = yield* browserBundle(
          `import * as Entry from "effect-ktables/${entry}"\nglobalThis.entry = Entry`,
          import.meta.dirname
        )
        process.stdout.write(`effect-ktables/${entry}: ${bundle.size.toFixed(1)} KB gz\n`)
        assertForBrowsers(bundle)
      })
    )
  }

  it.live("that pulled in what Node alone has would be found", () =>
    Effect.gen(function* () {
      const { text } = yield* browserBundle(`globalThis.entry = Buffer.from("a")`, import.meta.dirname)
      assert.strictEqual(ofNode(text), "Buffer")
      const failed = yield* Effect.exit(browserBundle(`import "node:net"`, import.meta.dirname))
      assert.isTrue(Exit.isFailure(failed))
    })
  )
})
