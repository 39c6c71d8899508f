/**
 * Attempts to connect to brokers, of all who use one client. An address to which no connection is open is tried by one
 * attempt at a time, after a back-off of its own; who else needs a connection waits for that attempt. So the rate of attempts
 * to one address does not grow with the number of tables.
 */
import { Cause, Deferred, Effect, Exit, Option, Random } from "effect"
import type { KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress } from "../../KafkaTransport.ts"
import { formatAddress } from "../../TransportSupport.ts"
import { monotonic } from "../moment.ts"
import { backoffMillis } from "../backoff.ts"
import type { BrokerConnection } from "./brokerConnection.ts"

export interface ConnectBackoff {
  /**
   * Opens a connection, or fails as the attempt did that others make meanwhile. While the address is in doubt, it waits for
   * the end of its back-off before.
   */
  readonly open: <R>(
    address: BrokerAddress,
    connect: Effect.Effect<BrokerConnection, KafkaError, R>
  ) => Effect.Effect<BrokerConnection, KafkaError, R>
  /** Whether the last attempt failed: what any broker can answer is better asked of another. */
  readonly isFailing: (address: BrokerAddress) => boolean
}

interface AddressState {
  /** The newest connection that was opened; while it is open, others may be opened at will. */
  newest: BrokerConnection | undefined
  /** Failures in a row. */
  failures: number
  /** When the next attempt may begin, in milliseconds of the monotonic clock. */
  notBefore: number
  /** The one attempt under way; done with its failure, or with nothing where it succeeded or was given up. */
  attempt: Deferred.Deferred<KafkaError | undefined> | undefined
}

export const makeConnectBackoff = (): ConnectBackoff => {
  const states = new Map<string, AddressState>()

  const stateOf = (address: BrokerAddress): AddressState => {
    const name = formatAddress(address)
    let state = states.get(name)
    if (state === undefined) {
      state = { newest: undefined, failures: 0, notBefore: Number.NEGATIVE_INFINITY, attempt: undefined }
      states.set(name, state)
    }
    return state
  }

  const failed = Effect.fnUntraced(function* (state: AddressState): Effect.fn.Return<void> {
    state.newest = undefined
    state.failures++
    state.notBefore = (yield* monotonic) + backoffMillis(state.failures, yield* Random.next)
  })

  const connected = (state: AddressState, connection: BrokerConnection): void => {
    state.newest = connection
    state.failures = 0
    state.notBefore = Number.NEGATIVE_INFINITY
  }

  /** Beside others, since the address is known to be good. */
  const openAnother = <R>(state: AddressState, connect: Effect.Effect<BrokerConnection, KafkaError, R>) =>
    connect.pipe(
      Effect.tap((connection) => Effect.sync(() => connected(state, connection))),
      // Of those that fail together, one counts.
      Effect.tapError(() => (state.failures === 0 ? failed(state) : Effect.void))
    )

  const openAlone = <R>(state: AddressState, connect: Effect.Effect<BrokerConnection, KafkaError, R>) =>
    Effect.uninterruptibleMask((restore) => {
      const attempt = Deferred.makeUnsafe<KafkaError | undefined>()
      state.attempt = attempt
      const rested = Effect.flatMap(monotonic, (now) =>
        state.notBefore > now ? Effect.sleep(state.notBefore - now) : Effect.void
      )
      return restore(Effect.andThen(rested, connect)).pipe(
        Effect.onExit((exit) => {
          state.attempt = undefined
          if (Exit.isSuccess(exit)) connected(state, exit.value)
          const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
          return Effect.andThen(failure === undefined ? Effect.void : failed(state), Deferred.succeed(attempt, failure))
        })
      )
    })

  const open: ConnectBackoff["open"] = (address, connect) =>
    Effect.suspend(() => {
      const state = stateOf(address)
      if (state.newest?.isOpen() === true) return openAnother(state, connect)
      if (state.attempt === undefined) return openAlone(state, connect)
      return Effect.flatMap(Deferred.await(state.attempt), (failure) =>
        failure === undefined ? open(address, connect) : Effect.fail(failure)
      )
    })

  return { open, isFailing: (address) => stateOf(address).failures > 0 }
}
