/**
 * Two servers of one log behind one address, each as far in it as the test takes it: their tables are filled by hand, and a
 * proxy sends requests to the one that is chosen, and can be cut.
 */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import { Context, Effect, Layer, Schema } from "effect"
import { TableReplication, TableTopic, type TablePosition } from "effect-ktables"
import { HttpServer } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { createServer, request, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

const topic = TableTopic.make({ name: "balanced", key: Schema.String, value: Schema.Finite })

/** The last value of each key among some records. */
export const contentsOf = (records: ReadonlyArray<Record>): ReadonlyMap<string, number> => {
  const contents = new Map<string, number>()
  for (const [key, value] of records) {
    if (value === undefined) contents.delete(key)
    else contents.set(key, value)
  }
  return contents
}

export type Record = readonly [key: string, value: number | undefined]

export interface Log {
  /** 32 hexadecimal digits. */
  id: string
  records: Array<Record>
}

const positionAt = (log: Log, offset: number): TablePosition.TablePosition => [
  { topic: topic.name, topicId: log.id, partitions: [{ partition: 0, offset, epoch: -1, epochAt: 0 }] }
]

const makeServer = Effect.fnUntraced(function* (log: Log) {
  const replica = TableReplication.makeReplica<string, number>(topic.name)
  replica.setStatus({ _tag: "CaughtUp" })
  let offset = 0
  const context = yield* Effect.orDie(
    Layer.build(TableServer.layer({ tables: [TableHttp.served(topic, replica.table)], port: 0, keepAlive: "1 second" }))
  )
  return {
    port: Number(new URL(NetAddress.formatUrlUnsafe(Context.get(context, HttpServer.HttpServer).address)).port),
    /** Applies some of the log, in one commit. */
    advance: (count: number): void => {
      const end = Math.min(offset + count, log.records.length)
      const records = log.records.slice(offset, end)
      offset = end
      replica.commit(
        records.map(([key, value]) => (value === undefined ? [key] : [key, value])),
        positionAt(log, end)
      )
    },
    /** Reads the log again, as it is now. */
    rebuild: Effect.suspend(() => {
      offset = log.records.length
      return replica.replace(contentsOf(log.records), positionAt(log, offset))
    })
  }
})

/** Two servers and the address at which one of them is reached. */
export const balanced = (log: Log) =>
  Effect.gen(function* () {
    const servers = [yield* makeServer(log), yield* makeServer(log)] as const
    let chosen = 0
    const answers = new Set<ServerResponse>()
    const proxy = yield* Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createServer>>((resume) => {
        const proxy = createServer((incoming, outgoing) => {
          answers.add(outgoing)
          outgoing.on("close", () => answers.delete(outgoing))
          const { headers, method, url: path } = incoming
          const asked = request({ port: servers[chosen]!.port, headers, method, path }, (answer) => {
            outgoing.writeHead(answer.statusCode!, answer.headers)
            answer.pipe(outgoing)
          })
          asked.on("error", () => outgoing.destroy())
          outgoing.on("close", () => asked.destroy())
          asked.end()
        })
        proxy.listen(0, "127.0.0.1", () => resume(Effect.succeed(proxy)))
      }),
      (proxy) =>
        Effect.callback<void>((resume) => {
          proxy.close(() => resume(Effect.void))
          proxy.closeAllConnections()
        })
    )
    return {
      url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      servers,
      choose: (server: 0 | 1): void => {
        chosen = server
      },
      cut: (): void => {
        for (const answer of answers) answer.destroy()
      }
    }
  })
