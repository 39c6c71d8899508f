import { parseArgs } from "node:util"

/** What the person asked for. */
export type Settings =
  | { readonly _tag: "Help" }
  | { readonly _tag: "Wrong"; readonly detail: string }
  | { readonly _tag: "Demo"; readonly brokers: ReadonlyArray<string> | undefined }
  | { readonly _tag: "Page"; readonly port: number }
  | { readonly _tag: "Follow"; readonly brokers: ReadonlyArray<string>; readonly topic: string }

export const help = `A Kafka topic as a live table, shown in the terminal.

Usage
  pnpm demo                                     on a Kafka embedded in the process; ends by itself
  pnpm demo --page [--port N]                   in a browser, at 127.0.0.1:4180 until Ctrl-C, with writers at work
  KAFKA_BROKERS=host:port pnpm demo             on a cluster, in a topic of its own
  KAFKA_BROKERS=host:port pnpm demo --topic T   shows the topic T (JSON values) live until Ctrl-C; writes nothing

Environment
  KAFKA_BROKERS   host:port[,host:port...], without TLS or SASL
  NO_COLOR        any value: no colours

Without a terminal (a pipe, a file) it writes lines: the demo its progress, --topic every entry and change.`

export const readSettings = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Settings => {
  const brokers = (env["KAFKA_BROKERS"] ?? "")
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "")
  try {
    const { values } = parseArgs({
      // pnpm hands a "--" on.
      args: args.filter((arg) => arg !== "--"),
      options: {
        topic: { type: "string" },
        page: { type: "boolean" },
        port: { type: "string" },
        help: { type: "boolean", short: "h" }
      }
    })
    if (values.help === true) return { _tag: "Help" }
    if (values.page === true) {
      const port = Number(values.port ?? 4180)
      return Number.isInteger(port) && port >= 0 && port < 65_536
        ? { _tag: "Page", port }
        : { _tag: "Wrong", detail: `--port is ${values.port}: expected 0 to 65535` }
    }
    if (values.port !== undefined) return { _tag: "Wrong", detail: "--port is for --page" }
    if (values.topic === undefined) return { _tag: "Demo", brokers: brokers.length === 0 ? undefined : brokers }
    if (brokers.length === 0) return { _tag: "Wrong", detail: "--topic needs a cluster: set KAFKA_BROKERS=host:port" }
    return { _tag: "Follow", brokers, topic: values.topic }
  } catch (cause) {
    return { _tag: "Wrong", detail: cause instanceof Error ? (cause.message.split(". ")[0] ?? "") : String(cause) }
  }
}
