/**
 * The projects of the test run: one per package for its unit tests, one for the tests that need a broker, one for the
 * examples. Vitest reads this list through `vitest.config.ts`.
 */
import { existsSync, readdirSync } from "node:fs"
import type { TestProjectConfiguration } from "vitest/config"

const names = readdirSync(new URL("packages/", import.meta.url)).filter((name) =>
  existsSync(new URL(`packages/${name}/test`, import.meta.url))
)

/** Tests that harm brokers for minutes: they run by `test:above` and `test:faults`. */
const long = ["packages/*/test/integration/long/**"]

const kafka = ["packages/testing/src/globalSetup.ts"]

const projects: Array<TestProjectConfiguration> = [
  ...names.map((name) => ({
    extends: true as const,
    test: {
      name,
      root: `packages/${name}`,
      include: ["test/**/*.test.ts"],
      exclude: ["test/integration/**"],
      testTimeout: 30_000
    }
  })),
  {
    extends: true,
    test: {
      name: "integration",
      include: ["packages/*/test/integration/**/*.test.ts"],
      exclude: process.env["LONG"] === undefined ? long : [],
      globalSetup: kafka,
      testTimeout: 120_000,
      hookTimeout: 300_000,
      fileParallelism: false
    }
  },
  {
    extends: true,
    test: {
      name: "examples",
      include: ["examples/*/test/**/*.test.ts"],
      globalSetup: kafka,
      testTimeout: 120_000,
      hookTimeout: 300_000,
      fileParallelism: false
    }
  }
]

export default projects
