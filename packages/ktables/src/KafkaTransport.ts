/**
 * The byte pipe under the protocol: opens connections to brokers and carries framed requests over them. A transport
 * knows TCP, TLS, SASL and correlation ids, and nothing of what the bodies say.
 *
 * @since 0.1.0
 */
import { Context, type Effect, type Scope } from "effect"
import type { KafkaError } from "./KafkaError.ts"

/**
 * Where a broker listens.
 *
 * @category models
 * @since 0.1.0
 */
export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/**
 * One request as bytes, ready to be framed.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawRequest {
  readonly apiKey: number
  /** The request's name, for errors and spans. */
  readonly apiName: string
  readonly apiVersion: number
  /** Request header v2 (tagged fields) when true, v1 otherwise. */
  readonly flexibleRequest: boolean
  /** Response header v1 (tagged fields) when true, v0 otherwise. */
  readonly flexibleResponse: boolean
  /** False for a produce with acks 0: the broker sends nothing back, and `send` succeeds with an empty buffer at once. */
  readonly expectsAnswer: boolean
  readonly body: Uint8Array
  /** Milliseconds to wait for the answer before the connection is given up. */
  readonly timeout: number
  /**
   * Gives memory for an answer of so many bytes. A transport that cannot choose where its answers go uses memory of its
   * own.
   */
  readonly allocate?: ((bytes: number) => Buffer) | undefined
}

/**
 * An open, authenticated connection. Requests may be sent while others are outstanding; answers are matched by
 * correlation id. Interrupting a `send` drops its answer and leaves the connection usable.
 *
 * @category models
 * @since 0.1.0
 */
export interface KafkaConnection {
  readonly address: BrokerAddress
  /** The answer's body, behind its response header. The buffer is the caller's to keep. */
  readonly send: (request: RawRequest) => Effect.Effect<Buffer, KafkaError>
  /** False once the connection is lost or closed: every later `send` fails with `ConnectionFailed`. */
  readonly isOpen: () => boolean
  /**
   * The broker reads nothing from this connection for so many milliseconds (KIP-219): the time-outs of outstanding
   * requests, and of those that are sent meanwhile, begin when that is over.
   */
  readonly holdTimeouts: (millis: number) => void
}

/**
 * The transport service.
 *
 * @category services
 * @since 0.1.0
 */
export class KafkaTransport extends Context.Service<
  KafkaTransport,
  {
    /** The addresses to find the cluster by; never empty. */
    readonly bootstrap: ReadonlyArray<BrokerAddress>
    readonly clientId: string
    /**
     * Connects and authenticates. Closing the scope destroys the socket at once and fails what is outstanding, without
     * waiting for a long poll to end.
     */
    readonly open: (address: BrokerAddress) => Effect.Effect<KafkaConnection, KafkaError, Scope.Scope>
  }
>()("effect-ktables/KafkaTransport") {}
