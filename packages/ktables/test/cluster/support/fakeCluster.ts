/**
 * A transport to brokers that exist only as answers: each address is a door that the test opens, shuts or leaves hanging.
 * The answers themselves are captured ones, or written like them.
 */
import { Deferred, Effect, type Scope } from "effect"
import type { Broker, PartitionDescription } from "effect-ktables/KafkaClient"
import { AuthenticationFailed, ConnectionFailed, type KafkaError } from "effect-ktables/KafkaError"
import type { KafkaConnection, KafkaTransport, RawRequest } from "effect-ktables/KafkaTransport"
import { apiVersions } from "../../../src/internal/protocol/messages/apiVersions.ts"
import { Writer } from "../../../src/internal/protocol/primitives.ts"
import { bytesOf, readFixture } from "../../protocol/support/fixtures.ts"
import { parseAddress } from "../../protocol/support/socketTransport.ts"

/** How a broker answers a request; ApiVersions is answered for it. */
export type Handler = (request: RawRequest) => Effect.Effect<Buffer, KafkaError>

/**
 * `refused` fails at once, `locked` refuses the credentials, `silent` never answers a connection attempt, `mute` takes the
 * connection and answers nothing.
 */
export type Door = "refused" | "locked" | "silent" | "mute" | Handler

export interface FakeCluster {
  readonly transport: KafkaTransport["Service"]
  readonly doors: Map<string, Door>
  /** The address of each attempt to connect, in order. */
  readonly attempts: Array<string>
  /** The name and version of each request that reached a broker, in order, ApiVersions left out. */
  readonly requests: Array<{ readonly address: string; readonly name: string; readonly version: number }>
  /** For how many milliseconds time-outs were held, each time, on whichever connection. */
  readonly heldTimeouts: ReadonlyArray<number>
  /** The addresses of the open connections. */
  readonly open: () => ReadonlyArray<string>
  /** Loses all connections to an address. */
  readonly cut: (address: string) => void
}

export const versionsAnswer: Buffer = bytesOf(readFixture("kafka-4.3.1"), "ApiVersions 3: the broker's versions")

export const makeFakeCluster = (
  bootstrap: ReadonlyArray<string>,
  doors: Readonly<Record<string, Door>>
): FakeCluster => {
  const all = new Map(Object.entries(doors))
  const attempts: Array<string> = []
  const requests: FakeCluster["requests"] = []
  const heldTimeouts: Array<number> = []
  const connections = new Set<{ readonly address: string; readonly lose: () => void }>()

  const connect = (address: string): Effect.Effect<KafkaConnection, KafkaError, Scope.Scope> =>
    Effect.suspend((): Effect.Effect<KafkaConnection, KafkaError, Scope.Scope> => {
      attempts.push(address)
      const door = all.get(address) ?? "refused"
      if (door === "silent") return Effect.never
      if (door === "refused") {
        return Effect.fail(new ConnectionFailed({ broker: address, request: "connect", detail: "ECONNREFUSED" }))
      }
      if (door === "locked") {
        return Effect.fail(new AuthenticationFailed({ broker: address, detail: "is the password right?" }))
      }
      return Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => accept(address)),
          ({ lose }) => Effect.sync(lose)
        ),
        ({ connection }) => connection
      )
    })

  const accept = (address: string) => {
    const lost = Deferred.makeUnsafe<never, KafkaError>()
    const handle = {
      address,
      lose: () => {
        connections.delete(handle)
        const error = new ConnectionFailed({ broker: address, request: "any", detail: "the connection was lost" })
        Deferred.doneUnsafe(lost, Effect.fail(error))
      }
    }
    connections.add(handle)
    const connection: KafkaConnection = {
      address: parseAddress(address),
      isOpen: () => connections.has(handle),
      holdTimeouts: (millis) => {
        heldTimeouts.push(millis)
      },
      send: (request) =>
        Effect.suspend(() => {
          if (!connections.has(handle)) return Deferred.await(lost)
          if (request.apiKey !== apiVersions.key) {
            requests.push({ address, name: request.apiName, version: request.apiVersion })
          }
          const door = all.get(address)
          if (typeof door !== "function") return Deferred.await(lost)
          const answer = request.apiKey === apiVersions.key ? Effect.succeed(versionsAnswer) : door(request)
          return Effect.raceFirst(answer, Deferred.await(lost))
        })
    }
    return { connection, lose: handle.lose }
  }

  return {
    transport: {
      bootstrap: bootstrap.map(parseAddress),
      clientId: "test",
      open: ({ host, port }) => connect(`${host}:${port}`)
    },
    doors: all,
    attempts,
    requests,
    heldTimeouts,
    open: () => [...connections].map(({ address }) => address),
    cut: (address) => {
      for (const connection of connections) if (connection.address === address) connection.lose()
    }
  }
}

export interface Described {
  readonly brokers: Readonly<Record<number, string>>
  readonly controller?: number
  readonly topic?: {
    readonly name: string
    readonly errorCode?: number
    readonly partitions: ReadonlyArray<PartitionDescription>
  }
}

/** An answer to Metadata 12. */
export const metadataAnswer = ({ brokers, controller = -1, topic }: Described): Buffer => {
  const writer = new Writer(true)
  writer.int32(0)
  const list = Object.entries(brokers).map(([id, address]): Broker => ({
    id: Number(id),
    ...parseAddress(address),
    rack: undefined
  }))
  writer.array(list, ({ host, id, port }) => {
    writer.int32(id)
    writer.string(host)
    writer.int32(port)
    writer.nullString()
    writer.noTaggedFields()
  })
  writer.string("cluster")
  writer.int32(controller)
  writer.array(topic === undefined ? [] : [topic], ({ errorCode = 0, name, partitions }) => {
    writer.int16(errorCode)
    writer.string(name)
    writer.uuid("00112233445566778899aabbccddeeff")
    writer.boolean(false)
    writer.array(partitions, (partition) => {
      writer.int16(partition.errorCode)
      writer.int32(partition.partition)
      writer.int32(partition.leader)
      writer.int32(partition.leaderEpoch)
      for (const ids of [partition.replicas ?? [], partition.inSync ?? [], []]) {
        writer.array(ids, (id) => writer.int32(id))
      }
      writer.noTaggedFields()
    })
    writer.int32(0)
    writer.noTaggedFields()
  })
  writer.noTaggedFields()
  return writer.bytes()
}

/** A broker that answers each request by its name, and nothing else. */
export const answering =
  (answers: Readonly<Record<string, Handler>>): Handler =>
  (request) => {
    const answer = answers[request.apiName]
    return answer === undefined ? Effect.die(new Error(`no answer for ${request.apiName}`)) : answer(request)
  }

export const always =
  (answer: Buffer): Handler =>
  () =>
    Effect.succeed(answer)
