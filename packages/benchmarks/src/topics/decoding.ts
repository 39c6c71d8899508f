/** How far values are decoded: not at all, by JSON alone, or by the schema that a user would write. */
import * as Codec from "effect-ktables/Codec"
import * as TableTopic from "effect-ktables/TableTopic"
import { Effect, Exit, Schema } from "effect"
import { Service } from "./values.ts"

/** `schema-jit` is `schema` with Effect's schema compiler. */
export type Decode = "raw" | "json" | "schema" | "schema-jit"

const plainJson: Codec.Codec<unknown> = Codec.make({
  decode: (bytes) => Exit.succeed(JSON.parse(new TextDecoder().decode(bytes)) as unknown),
  encode: (value) => Exit.succeed(Buffer.from(JSON.stringify(value)))
})

export const rawTopic = (name: string) => TableTopic.make({ name, key: Codec.string, value: Codec.bytes })

export const schemaTopic = (name: string) => TableTopic.make({ name, key: Schema.String, value: Service })

/** A table hands values out and takes none in, so what they are may be forgotten. */
const readable = <V>(topic: TableTopic.TableTopic<string, V>) => topic as TableTopic.TableTopic<string, unknown>

/** A topic to read; only `schemaTopic` is one to write services to. */
export const topicFor = Effect.fnUntraced(function* (name: string, decode: Decode) {
  switch (decode) {
    case "raw":
      return readable(rawTopic(name))
    case "json":
      return readable(TableTopic.make({ name, key: Codec.string, value: plainJson }))
    case "schema":
      return readable(schemaTopic(name))
    case "schema-jit":
      yield* Effect.promise(() => import("effect/schema/SchemaJITCompiler/enable"))
      return readable(schemaTopic(name))
  }
})
