/**
 * Builds the peers that live outside of Node, from `packages/benchmarks/peers`, with the machine's own python3, javac and
 * Maven, or go. What they need is fetched once, into `node_modules/.cache`.
 */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { RunOptions } from "../options.ts"
import { command, type CommandFailed } from "./command.ts"

export interface Peer {
  readonly name: string
  readonly command: readonly [string, ...ReadonlyArray<string>]
  /** The words before `catchup`, one list per client that the peer has. */
  readonly programs: ReadonlyArray<ReadonlyArray<string>>
  readonly decodes: ReadonlyArray<string>
  /** True when `--warmup` and `--repeat` are the peer's own, in one process. */
  readonly warmsUpInside: boolean
  /** What starts again from a store of its own, in the directory that `--state` names; undefined where nothing is kept. */
  readonly restart: { readonly store: string; readonly args: ReadonlyArray<string> } | undefined
  /** Measurements on an empty topic. */
  readonly live: (options: RunOptions) => ReadonlyArray<{
    readonly args: ReadonlyArray<string>
    readonly flags: Readonly<Record<string, string>>
  }>
}

export type Built =
  | { readonly kind: "built"; readonly peer: Peer }
  | { readonly kind: "absent"; readonly reason: string }

const sources = fileURLToPath(new URL("../../peers/", import.meta.url))
const cache = fileURLToPath(new URL("../../../../node_modules/.cache/ktables-benchmarks/", import.meta.url))

const present = (program: string, ...args: ReadonlyArray<string>): Effect.Effect<boolean> =>
  command([program, ...args]).pipe(
    Effect.as(true),
    Effect.catch(() => Effect.succeed(false))
  )

const absent = (reason: string): Built => ({ kind: "absent", reason })

/** Builds into a directory that is named after the sources and complete when its marker is there. */
const cached = Effect.fnUntraced(function* (
  language: string,
  build: (from: string, into: string) => Effect.Effect<void, CommandFailed>
) {
  const from = path.join(sources, language)
  const hash = createHash("sha256")
  for (const file of (yield* Effect.promise(() => fs.readdir(from))).sort()) {
    hash.update(file).update(yield* Effect.promise(() => fs.readFile(path.join(from, file))))
  }
  const into = path.join(cache, `${language}-${hash.digest("hex").slice(0, 12)}`)
  const marker = path.join(into, "complete")
  const complete = yield* Effect.promise(() =>
    fs.access(marker).then(
      () => true,
      () => false
    )
  )
  if (!complete) {
    yield* Effect.promise(async () => {
      await fs.rm(into, { recursive: true, force: true })
      await fs.mkdir(into, { recursive: true })
    })
    yield* build(from, into)
    yield* Effect.promise(() => fs.writeFile(marker, ""))
  }
  return { from, into }
})

const timed = ({ count, seconds, warmupCount }: RunOptions) => ({
  count: String(count),
  warmup: String(warmupCount),
  seconds: String(seconds)
})

const buildPython: Effect.Effect<Built, CommandFailed> = Effect.gen(function* () {
  if (!(yield* present("python3", "-c", "import venv, sys; assert sys.version_info >= (3, 10)"))) {
    return absent("no python3 from 3.10 on")
  }
  const { from, into } = yield* cached("python", (from, into) =>
    Effect.gen(function* () {
      const venv = path.join(into, "venv")
      yield* command(["python3", "-m", "venv", venv])
      yield* command([path.join(venv, "bin/pip"), "install", "--quiet", "-r", path.join(from, "requirements.txt")])
    })
  )
  return {
    kind: "built",
    peer: {
      name: "python",
      command: [path.join(into, "venv/bin/python"), path.join(from, "bench.py")],
      programs: [[]],
      decodes: ["raw", "json"],
      warmsUpInside: false,
      restart: undefined,
      live: (options) => [
        { args: ["propagation"], flags: timed(options) },
        // An idle barrier takes half a second: thousands would take an hour.
        { args: ["barrier"], flags: { count: String(Math.min(options.count, 20)), warmup: "1" } },
        { args: ["write"], flags: timed(options) }
      ]
    }
  }
})

const buildJava: Effect.Effect<Built, CommandFailed> = Effect.gen(function* () {
  if (!(yield* present("javac", "-version"))) return absent("no JDK")
  if (!(yield* present("mvn", "--version"))) return absent("no Maven")
  const { into } = yield* cached("java", (from, into) =>
    Effect.gen(function* () {
      const libs = path.join(into, "libs")
      const copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${libs}`]
      yield* command(["mvn", "-B", "-q", "-f", path.join(from, "pom.xml"), ...copy])
      yield* command([
        "javac",
        "-d",
        path.join(into, "classes"),
        "-cp",
        path.join(libs, "*"),
        path.join(from, "Peer.java")
      ])
    })
  )
  const classpath = [path.join(into, "libs", "*"), path.join(into, "classes")].join(path.delimiter)
  return {
    kind: "built",
    peer: {
      name: "java",
      command: ["java", "-cp", classpath, "Peer"],
      programs: [["consumer"], ["globalktable"]],
      decodes: ["raw", "json"],
      warmsUpInside: true,
      restart: { store: "RocksDB", args: ["globalktable", "restart"] },
      live: (options) => [
        { args: ["consumer", "propagation"], flags: timed(options) },
        { args: ["globalktable", "propagation"], flags: timed(options) },
        { args: ["consumer", "write"], flags: timed(options) }
      ]
    }
  }
})

const buildGo: Effect.Effect<Built, CommandFailed> = Effect.gen(function* () {
  if (!(yield* present("go", "version"))) return absent("no go")
  const { into } = yield* cached("go", (from, into) =>
    Effect.asVoid(command(["go", "build", "-o", path.join(into, "peer"), "."], from))
  )
  return {
    kind: "built",
    peer: {
      name: "go",
      command: [path.join(into, "peer")],
      programs: [[]],
      decodes: ["raw", "json", "json-read"],
      warmsUpInside: false,
      restart: { store: "LevelDB", args: ["restart"] },
      live: (options) => [
        { args: ["propagation"], flags: timed(options) },
        { args: ["write"], flags: timed(options) }
      ]
    }
  }
})

export const builders = { python: buildPython, java: buildJava, go: buildGo }
