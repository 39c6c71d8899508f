/**
 * Starts the Kafka of a vitest run before the first test that needs one, and stops it behind the last.
 *
 * **Example**
 *
 * ```ts
 * import { defineConfig } from "vitest/config"
 *
 * export default defineConfig({ test: { globalSetup: ["@effect-ktables/testing/globalSetup"] } })
 * ```
 *
 * @since 0.1.0
 */
import { acquireShared, nameOf, releaseShared, sharedVariable } from "./internal/shared.ts"

/**
 * Vitest calls this once per project; the projects of a run share one Kafka.
 *
 * @category vitest
 * @since 0.1.0
 */
export default async function setup(): Promise<() => Promise<void>> {
  const since = performance.now()
  const kafka = await acquireShared()
  if (process.env[sharedVariable] !== undefined) return releaseShared
  const { brokers, kind, libs, version } = kafka
  process.env[sharedVariable] = JSON.stringify({ kind, brokers, version, libs })
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  process.stdout.write(`Kafka of this test run: ${nameOf(kafka)} (${seconds} s)\n`)
  return async () => {
    delete process.env[sharedVariable]
    await releaseShared()
  }
}
