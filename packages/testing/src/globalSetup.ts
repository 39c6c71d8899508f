/**
 * Starts the Kafka of a vitest run before the first test that needs one, and stops it behind the last.
 *
 * **Example**
 *
 * ```ts
 * export default defineConfig({ test: { globalSetup: ["@effect-ktables/testing/globalSetup"] } })
 * ```
 *
 * @since 0.1.0
 */
import { acquireShared, releaseShared, type RunningKafka, sharedVariable } from "./internal/shared.ts"

const sources = {
  env: "named by KAFKA_BROKERS",
  docker: "in a container",
  jvm: "on the local JVM"
}

const announce = (kafka: RunningKafka, seconds: string): void => {
  const release = kafka.version === undefined ? "Kafka" : `Apache Kafka ${kafka.version}`
  const where = `${sources[kafka.kind]}, ${kafka.brokers.join(",")}`
  process.stdout.write(`Kafka of this test run: ${release} ${where} (${seconds} s)\n`)
}

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
  announce(kafka, ((performance.now() - since) / 1000).toFixed(1))
  return async () => {
    delete process.env[sharedVariable]
    await releaseShared()
  }
}
