import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PeerFailed, PeerLost, PeerUnavailable } from "../../src/interop/PeerError.ts"
import { runStep, startPeer, whyMissing } from "../../src/interop/peerProcess.ts"

const program = `
const { createInterface } = require("node:readline")
const say = (line) => console.log(JSON.stringify(line))
say({ ready: true })
const held = []
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, op, args } = JSON.parse(line)
  if (op === "echo") console.log("a library prints")
  if (op === "echo") say({ id, ok: args })
  if (op === "hold") held.push({ id, ok: args })
  if (op === "release") for (const answer of [{ id, ok: null }, ...held.reverse()]) say(answer)
  if (op === "fail") say({ id, error: { type: "Refused", message: "no" } })
  if (op === "die") { console.error("last words"); process.exitCode = 3; process.stdin.destroy() }
})
`

const start = startPeer("scripted", process.execPath, ["-e", program])

describe("a peer's process", () => {
  it.effect("answers requests in any order, each to the one who asked", () =>
    Effect.gen(function* () {
      const { request } = yield* start
      const asked = [request("hold", { n: 1 }), request("hold", { n: 2 }), request("release", {})]
      assert.deepStrictEqual(yield* Effect.all(asked, { concurrency: "unbounded" }), [{ n: 1 }, { n: 2 }, null])
      assert.deepStrictEqual(yield* request("echo", { text: "é\n" }), { text: "é\n" })
    })
  )

  it.effect("fails a request with the error of the peer, and goes on", () =>
    Effect.gen(function* () {
      const { request } = yield* start
      const failed = yield* Effect.flip(request("fail", {}))
      assert.instanceOf(failed, PeerFailed)
      assert.strictEqual(failed.message, "fail in the scripted peer: Refused: no")
      assert.deepStrictEqual(yield* request("echo", { n: 1 }), { n: 1 })
    })
  )

  it.effect("fails what is pending and what comes later with the last words of a peer that died", () =>
    Effect.gen(function* () {
      const { request } = yield* start
      const [pending, later] = yield* Effect.all([Effect.flip(request("die", {})), Effect.flip(request("echo", {}))])
      for (const failed of [pending, later]) {
        assert.instanceOf(failed, PeerLost)
        assert.include(failed.message, "ended with 3; it last said:\nlast words")
      }
    })
  )

  it.effect("names the command that cannot be started", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(startPeer("absent", "no-such-command", []))
      assert.instanceOf(failed, PeerLost)
      assert.include(failed.message, "no-such-command")
    })
  )

  it.effect("tells what a failed step of the installation said", () =>
    Effect.gen(function* () {
      const step = runStep("scripted", process.execPath, ["-e", "console.error('no room'); process.exit(1)"])
      const failed = yield* Effect.flip(step)
      assert.instanceOf(failed, PeerUnavailable)
      assert.match(failed.message, /^the scripted peer cannot run here: .* failed: no room$/)
    })
  )

  it("names the commands that a machine lacks, and none in continuous integration", () => {
    const ci = process.env["CI"]
    try {
      delete process.env["CI"]
      assert.strictEqual(whyMissing(["sh", "no-such-command"]), "no no-such-command on the PATH")
      assert.isUndefined(whyMissing(["sh"]))
      process.env["CI"] = "true"
      assert.isUndefined(whyMissing(["no-such-command"]))
    } finally {
      if (ci === undefined) delete process.env["CI"]
      else process.env["CI"] = ci
    }
  })
})
