/** What the benchmark's topics hold: ~14 character keys and six-field JSON values of ~200 bytes, the same on every machine. */
import { Schema } from "effect"

export const Service = Schema.Struct({
  name: Schema.String,
  host: Schema.String,
  port: Schema.Int,
  version: Schema.Int,
  healthy: Schema.Boolean,
  description: Schema.String
})
export type Service = typeof Service.Type

export const keyOf = (id: number): string => `svc-${String(id).padStart(10, "0")}`

const words = ["reads", "the", "price", "list", "for", "every", "region", "and", "answers", "within", "its", "budget"]

const description = (seed: number): string => {
  let text = ""
  for (let i = 0; i < 14; i++) text += (i === 0 ? "" : " ") + words[(seed >>> i) % words.length]!
  return text
}

/** The `version`-th value of a key. */
export const serviceOf = (id: number, version: number): Service => ({
  name: keyOf(id),
  host: `10.${(id >> 16) & 255}.${(id >> 8) & 255}.${id & 255}`,
  port: 1024 + (id % 60_000),
  version,
  healthy: (id + version) % 7 !== 0,
  description: description(Math.imul(id, 2_654_435_761) ^ version)
})

/** A value of `size` bytes of JSON, for the benchmarks that write. */
export const paddedService = (id: number, version: number, size: number): Service => {
  const service = serviceOf(id, version)
  const missing = size - Buffer.byteLength(JSON.stringify(service))
  return missing <= 0 ? service : { ...service, description: service.description + "x".repeat(missing) }
}
