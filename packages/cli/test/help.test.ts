/** What the command says without a cluster: help, mistakes, completions; and what it loads for that. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { bin, run } from "./support/ktables.ts"
import { folder } from "./support/onKafka.ts"
import { isThere, shells } from "./support/shells.ts"

const golden = path.join(import.meta.dirname, "golden/help.txt")

const commands = [
  "topics",
  "ls",
  "get",
  "watch",
  "set",
  "delete",
  "history",
  "at",
  "diff",
  "doctor",
  "export",
  "import",
  "serve"
]

describe("the help", () => {
  it.live("is the golden one; UPDATE_GOLDEN=1 writes it again", () =>
    Effect.gen(function* () {
      let all = ""
      for (const command of [[], ...commands.map((name) => [name])]) {
        const { code, stderr, stdout } = yield* run([...command, "--help"])
        assert.deepStrictEqual([code, stderr], [0, ""])
        all += `$ ktables ${[...command, "--help"].join(" ")}\n${stdout}\n`
      }
      if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, all)
      assert.strictEqual(all, readFileSync(golden, "utf8"))
    })
  )

  it.live("needs neither a client nor a table", () =>
    Effect.sync(() => {
      const hook = `
        import module from "node:module"
        import { writeSync } from "node:fs"
        const urls = []
        module.registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
        process.on("exit", () => writeSync(2, JSON.stringify({ urls, cpu: process.cpuUsage() })))`
      const args = [
        "--import",
        `data:text/javascript,${encodeURIComponent(hook)}`,
        "--conditions=source",
        bin,
        "--help"
      ]
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" })
      assert.strictEqual(status, 0)
      const { cpu, urls } = JSON.parse(stderr) as {
        readonly urls: ReadonlyArray<string>
        readonly cpu: NodeJS.CpuUsage
      }
      assert.isAbove(urls.length, 10)
      assert.deepStrictEqual(
        urls.filter((url) => /packages\/(ktables|kafkajs|http)\/|node_modules\/kafkajs\//.test(url)),
        []
      )
      // Half a second is promised for the built command; this one has its types stripped while it starts, and is watched.
      assert.isBelow((cpu.user + cpu.system) / 1000, 1000)
    })
  )
})

describe("mistakes", () => {
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, said: RegExp]> = [
    [["gett"], /Did you mean this\?\s+get\b/],
    [["ls"], /Missing required argument: topic[\s\S]*See ktables ls --help/],
    [["ls", "t", "--nosuch"], /Unrecognized flag: --nosuch/],
    [["ls", "t", "--limit", "0"], /expected a number above 0/],
    [["ls", "t", "--timeout", "0.0001"], /at least 0.1/],
    [["ls", "t", "--timeout", "0"], /expected seconds/],
    [["ls", "t", "--value", "xml"], /json.*string.*bytes.*hex/],
    [
      ["ls", "t", "--brokers", "localhost:x"],
      /^ktables: --brokers \(KAFKA_BROKERS\) is "localhost:x": expected addresses/
    ],
    [["set", "t", "k", "dark"], /text goes into quotes: "dark"/],
    [["get", "t", "0g", "--key", "hex"], /the key does not fit --key hex/],
    [["delete", "t", "0g", "--key", "hex", "--yes"], /the key does not fit --key hex/],
    [["serve", "t", "--key", "hex"], /serve shows keys as text.*leave out --key/],
    [["serve", "t", "--value", "bytes"], /serve shows values as what they are.*leave out --value/],
    [["ls", "no such topic"], /expected the name of a topic/],
    [["ls", "t", "--sasl", "plain"], /--username/],
    [["ls", "t", "--username", "me"], /me has no password: set KAFKA_PASSWORD, or give --password-file/],
    [["ls", "t", "--tls-cert", golden], /give both --tls-cert and --tls-key/],
    [
      ["ls", "t", "--tls-cert", golden, "--tls-key", golden],
      /--tls-cert.* together, is refused: (?!true).*no start line/
    ],
    [["ls", "t", "--username", "", "--password-file", golden], /--username \(KAFKA_USERNAME\) is "": expected/],
    [["ls", "t", "--tls-ca", "/no/such/file"], /the file of --tls-ca cannot be read/],
    // The key itself in place of its path.
    [["ls", "t", "--tls-key=-----BEGIN PRIVATE KEY-----SECRET"], /^(?!.*SECRET).*the file of --tls-key cannot be read/]
  ]
  for (const [args, said] of cases) {
    it.live(`end with 2 and a sentence on standard error: ${args.map((arg) => path.basename(arg)).join(" ")}`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* run(args)
        assert.deepStrictEqual([code, stdout], [2, ""], stderr)
        assert.match(stderr, said)
        assert.notInclude(stderr, "    at ")
      })
    )
  }

  it.live("of the environment are mistakes, too", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(["ls", "t"], { env: { KAFKA_SASL_MECHANISM: "magic" } })
      assert.deepStrictEqual([code, stdout], [2, ""], stderr)
      assert.include(stderr, "KAFKA_SASL_MECHANISM")
    })
  )
})

describe("completions", () => {
  /** What is typed before the tab, and a word that it is completed to. */
  const lines = [
    ["ktables wa", "watch"],
    ["ktables ls flags --output nd", "ndjson"],
    ["ktables doctor --sc", "--scan-time"]
  ] as const
  for (const { complete, name, program } of shells) {
    const isHere = isThere(program)
    const where = isHere ? `are tried in ${program}` : `${program} is not on this machine, nothing was tried in it`
    it.live(`for ${name}: ${where}`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* run(["--completions", name])
        assert.deepStrictEqual([code, stderr], [0, ""])
        for (const command of commands) assert.include(stdout, command)
        if (!isHere) {
          assert.isTrue(name === "powershell" || process.env["CI"] === undefined, `${program} is missing`)
          return
        }
        const script = path.join(yield* folder, `ktables.${name}`)
        writeFileSync(script, stdout)
        for (const [line, word] of lines) assert.include(yield* complete(script, line, word), word)
      }).pipe(Effect.scoped)
    )
  }
})

describe("the package", () => {
  it("stands on the core, a transport and the server, none of which knows it", () => {
    const packages = path.resolve(import.meta.dirname, "../..")
    const manifest = (name: string) => readFileSync(path.join(packages, name, "package.json"), "utf8")
    for (const name of ["ktables", "kafkajs", "platformatic", "http", "testing"]) {
      assert.isTrue(existsSync(path.join(packages, name)))
      assert.notInclude(manifest(name), "@effect-ktables/cli")
    }
    const { dependencies } = JSON.parse(manifest("cli")) as { readonly dependencies: object }
    assert.deepStrictEqual(Object.keys(dependencies), [
      "@effect-ktables/http",
      "@effect-ktables/kafkajs",
      "@effect/platform-node",
      "effect",
      "effect-ktables"
    ])
  })
})
