/**
 * Everything this package takes from inside kafkajs: its SASL mechanisms. Its public client offers no requests of one's
 * own, so these modules are imported by their paths, and the version is pinned exactly.
 */
// @ts-expect-error kafkajs declares no types for its inner modules.
import SaslAuthenticator from "kafkajs/src/broker/saslAuthenticator/index.js"

/** A request in kafkajs' own form. */
interface KafkaJsRequest {
  readonly request: {
    readonly apiKey: number
    readonly apiName: string
    readonly apiVersion: number
    readonly encode: () => Promise<{ readonly buffer: Buffer }>
  }
  readonly response: {
    readonly decode: (answer: Buffer) => Promise<unknown>
    readonly parse: (decoded: unknown) => Promise<unknown>
  }
}

interface Authenticator {
  readonly authenticate: () => Promise<void>
  readonly sessionLifetime: string
}

type AuthenticatorConstructor = new (
  connection: {
    readonly host: string
    readonly port: number
    readonly sasl: Readonly<Record<string, unknown>>
    readonly send: (request: KafkaJsRequest) => Promise<unknown>
  },
  logger: unknown,
  versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>,
  speaksSaslAuthenticate: boolean
) => Authenticator

// Each broker since Kafka 2.2 knows SaslHandshake 1 and SaslAuthenticate 1, the one that tells the session's lifetime.
const versions = { 17: { minVersion: 1, maxVersion: 1 }, 36: { minVersion: 1, maxVersion: 1 } }

const logs = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const logger = { ...logs, namespace: () => logs }

/** One request of the SASL exchange, to be sent with request header v1. */
export interface SaslRequest {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly body: Buffer
}

/**
 * Runs a SASL exchange over `exchange`, and resolves to the session's lifetime in milliseconds: zero when it does not
 * end. `sasl` is in the form of kafkajs' own option.
 */
export const authenticate = async (options: {
  readonly host: string
  readonly port: number
  readonly sasl: Readonly<Record<string, unknown>>
  readonly exchange: (request: SaslRequest) => Promise<Buffer>
}): Promise<number> => {
  const connection = {
    host: options.host,
    port: options.port,
    // The authenticator keeps its provider in there.
    sasl: { ...options.sasl },
    send: async ({ request, response }: KafkaJsRequest): Promise<unknown> => {
      const { apiKey, apiName, apiVersion } = request
      const body = (await request.encode()).buffer
      return response.parse(await response.decode(await options.exchange({ apiKey, apiName, apiVersion, body })))
    }
  }
  const authenticator = new (SaslAuthenticator as AuthenticatorConstructor)(connection, logger, versions, true)
  await authenticator.authenticate()
  return Number(authenticator.sessionLifetime)
}
