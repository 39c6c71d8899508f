/** The description of all routes as OpenAPI 3.1. */

interface DescribedTable {
  readonly name: string
  readonly isWritable: boolean
}

const text = { type: "string" } as const
const parameter = (name: string, place: "path" | "query" | "header", description: string, schema: object = text) => ({
  name,
  in: place,
  required: place === "path",
  description,
  schema
})
const answer = (description: string, type?: string) =>
  type === undefined ? { description } : { description, content: { [type]: { schema: {} } } }

const table = (names: ReadonlyArray<string>) =>
  parameter("name", "path", "The name of a table.", { ...text, enum: names })
const key = parameter(
  "key",
  "path",
  "The text of a key, percent-encoded. Any key can be given as `?key=` of the path without it: `.`, `..` and the empty key only so."
)
const at = parameter("at", "query", "A token of an earlier answer, which this one is to be at least as new as.")
const wait = parameter(
  "wait",
  "query",
  "How long to wait for that, for example `5s` or `200ms`; at most 60s. Default: 5s."
)
const prefix = parameter("prefix", "query", "Only keys that begin with it.")
const json = "application/json"
const unknown = answer("There is no such table or key.", json)
const late = answer("The server has not come so far in time; try again after Retry-After.", json)
const otherLog = answer("The token is of another topic, or of a log that was cut.", json)

export const describe = (tables: ReadonlyArray<DescribedTable>): string => {
  const names = tables.map(({ name }) => name)
  const writable = tables.filter(({ isWritable }) => isWritable).map(({ name }) => name)
  const written = {
    parameters: [table(writable), key],
    responses: {
      200: answer("The brokers have it: `at` is a token for it, `ack` its place in the log.", json),
      400: answer("A key or value that is none of this table.", json),
      405: answer("The table is read-only.", json),
      413: answer("The body is too large.", json),
      504: answer("It is not known to be written.", json)
    }
  }
  return JSON.stringify({
    openapi: "3.1.0",
    info: { title: "Tables", version: "1" },
    paths: {
      "/tables": { get: { summary: "What is served.", responses: { 200: answer("The tables.", json) } } },
      "/tables/{name}/entries": {
        get: {
          summary: "A page of entries of one version, in the order of their keys.",
          parameters: [
            table(names),
            prefix,
            parameter("from", "query", "The first key, if it is there."),
            parameter("after", "query", "The key after which the page begins: `next` of the page before."),
            parameter("limit", "query", "Entries at most. Default: 100.", {
              type: "integer",
              minimum: 1,
              maximum: 1000
            }),
            at,
            wait
          ],
          responses: { 200: answer("The page.", json), 404: unknown, 409: otherLog, 503: late }
        }
      },
      "/tables/{name}/entries/{key}": {
        get: {
          summary: "The value of a key.",
          parameters: [
            table(names),
            key,
            at,
            wait,
            parameter("If-None-Match", "header", "The ETag of a value that is known.")
          ],
          responses: {
            200: answer("The value, as its codec writes it.", json),
            304: answer("The value is the one that is known."),
            404: unknown,
            409: otherLog,
            503: late
          }
        },
        ...(writable.length === 0
          ? {}
          : {
              put: {
                summary: "Writes a value.",
                ...written,
                requestBody: { required: true, content: { [json]: { schema: {} } } }
              },
              delete: { summary: "Deletes a key.", ...written }
            })
      },
      "/tables/{name}/changes": {
        get: {
          summary: "A snapshot, and every change after it, as server-sent events.",
          parameters: [
            table(names),
            prefix,
            parameter("Last-Event-ID", "header", "The last event that was read."),
            parameter("since", "query", "As Last-Event-ID."),
            at,
            wait
          ],
          responses: { 200: answer("The events.", "text/event-stream"), 404: unknown, 503: late }
        }
      },
      "/tables/{name}/history/{key}": {
        get: {
          summary: "The newest records of a key in the log, oldest first, and from which offset on none is missing.",
          parameters: [
            table(names),
            key,
            parameter("limit", "query", "Records at most. Default: 100.", {
              type: "integer",
              minimum: 1,
              maximum: 1000
            })
          ],
          responses: {
            200: answer("The records; of a key that has none there are none.", json),
            404: answer("There is no such table.", json),
            501: answer("The table is served without a log.", json),
            502: answer("The brokers do not let it be read.", json),
            504: answer("It was not read in time.", json)
          }
        }
      },
      "/health": {
        get: {
          summary: "The state of each table.",
          responses: { 200: answer("None has ended.", json), 503: answer("Some have ended.", json) }
        }
      },
      "/ready": {
        get: {
          summary: "Whether all tables are complete.",
          responses: { 200: answer("They are.", json), 503: answer("Some are not.", json) }
        }
      },
      "/metrics": {
        get: { summary: "Metrics for Prometheus.", responses: { 200: answer("The metrics.", "text/plain") } }
      },
      "/openapi.json": { get: { summary: "This description.", responses: { 200: answer("It.", json) } } }
    }
  })
}
