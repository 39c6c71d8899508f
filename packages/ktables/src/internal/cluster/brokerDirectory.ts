/**
 * Which brokers there are and where: the bootstrap addresses, which never change, and the brokers of the newest metadata.
 */
import type { BrokerAddress } from "../../KafkaTransport.ts"
import { formatAddress } from "../../TransportSupport.ts"
import type { MetadataAnswer } from "../protocol/messages/metadata.ts"

export interface BrokerDirectory {
  /** Takes over the brokers of a metadata answer. */
  readonly learn: (answer: MetadataAnswer) => void
  /** Whether a broker has told of the others. */
  readonly isKnown: () => boolean
  readonly addressOf: (broker: number) => BrokerAddress | undefined
  readonly controller: () => BrokerAddress | undefined
  /**
   * Where to ask a question that any broker answers, each address once: the last that answered, then the known brokers,
   * then the bootstrap addresses; those that left a request unanswered since they last answered come last.
   */
  readonly candidates: () => ReadonlyArray<BrokerAddress>
  readonly answered: (address: BrokerAddress) => void
  readonly unanswered: (address: BrokerAddress) => void
}

export const makeBrokerDirectory = (bootstrap: ReadonlyArray<BrokerAddress>): BrokerDirectory => {
  let brokers: ReadonlyMap<number, BrokerAddress> = new Map()
  let controllerId = -1
  let lastGood: BrokerAddress | undefined
  const silent = new Set<string>()
  return {
    learn: (answer) => {
      // A broker that has just started may not know of any yet, itself included.
      if (answer.brokers.length === 0) return
      brokers = new Map(answer.brokers.map(({ host, id, port }) => [id, { host, port }]))
      controllerId = answer.controllerId
    },
    isKnown: () => brokers.size > 0,
    addressOf: (broker) => brokers.get(broker),
    controller: () => brokers.get(controllerId),
    candidates: () => {
      const all = [...(lastGood === undefined ? [] : [lastGood]), ...brokers.values(), ...bootstrap]
      const each = [...new Map(all.map((address) => [formatAddress(address), address]))]
      const ordered = [...each.filter(([name]) => !silent.has(name)), ...each.filter(([name]) => silent.has(name))]
      return ordered.map(([, address]) => address)
    },
    answered: (address) => {
      lastGood = address
      silent.delete(formatAddress(address))
    },
    unanswered: (address) => {
      silent.add(formatAddress(address))
    }
  }
}
