/** What server and browsers have in common: the definition of the topic. Browsers load single modules, not all of `effect`. */
import * as Schema from "effect/Schema"
import * as TableTopic from "effect-ktables/TableTopic"

export const stockOf = (name: string) =>
  TableTopic.make({ name, key: Schema.String, value: Schema.Struct({ left: Schema.Int }) })

/** As the server calls it, whatever the topic is called. */
export const stock = stockOf("stock")

export type Stock = { readonly left: number }
