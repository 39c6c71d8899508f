/**
 * Ends a test run with one line per kind of test: how many ran, and on which Kafka. `TEST_REPORT` names a file that gets
 * the same lines, for scripts.
 */
import { writeFileSync } from "node:fs"
import type { Reporter, TestModule } from "vitest/node"
import { nameOf, type SharedKafka, sharedVariable } from "./packages/testing/src/internal/shared.ts"

const kinds = ["unit", "integration", "examples"] as const

type Kind = (typeof kinds)[number]

const kindOf = (testModule: TestModule): Kind => {
  const { name } = testModule.project
  return name === "integration" || name === "examples" ? name : "unit"
}

const count = (modules: ReadonlyArray<TestModule>): string => {
  const totals = { passed: 0, failed: 0, skipped: 0 }
  for (const module of modules) {
    const tests = [...module.children.allTests()]
    for (const test of tests) {
      const { state } = test.result()
      totals[state === "pending" ? "skipped" : state]++
    }
    // A file that breaks before its first test runs would pass for one without tests.
    if (module.state() === "failed" && tests.every((test) => test.result().state !== "failed")) totals.failed++
  }
  const { failed, passed, skipped } = totals
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`
}

const kafkaOfRun = (): string => {
  const shared = process.env[sharedVariable]
  return shared === undefined ? "without a Kafka" : `on ${nameOf(JSON.parse(shared) as SharedKafka)}`
}

export const summary: Reporter = {
  onTestRunEnd: (testModules) => {
    const lines: Array<string> = []
    for (const kind of kinds) {
      const modules = testModules.filter((module) => kindOf(module) === kind)
      if (modules.length === 0) continue
      lines.push(`${kind} tests: ${count(modules)}${kind === "unit" ? "" : `, ${kafkaOfRun()}`}`)
    }
    process.stdout.write(`\n${lines.join("\n")}\n`)
    const file = process.env["TEST_REPORT"]
    if (file !== undefined) writeFileSync(file, `${lines.join("\n")}\n`)
  }
}
