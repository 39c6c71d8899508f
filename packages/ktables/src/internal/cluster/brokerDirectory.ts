/**
 * Which brokers there are and where: the bootstrap addresses, which never change, and the brokers of the newest metadata.
 */
import type { BrokerAddress } from "../../KafkaTransport.ts"
import type { MetadataAnswer } from "../protocol/messages/metadata.ts"
import { formatAddress } from "./brokerConnection.ts"

export interface BrokerDirectory {
  /** Takes over the brokers of a metadata answer. */
  readonly learn: (answer: MetadataAnswer) => void
  readonly addressOf: (broker: number) => BrokerAddress | undefined
  readonly controller: () => BrokerAddress | undefined
  /**
   * Where to ask a question that any broker answers, each address once: the last that answered, then the known brokers,
   * then the bootstrap addresses.
   */
  readonly candidates: () => ReadonlyArray<BrokerAddress>
  readonly answered: (address: BrokerAddress) => void
}

export const makeBrokerDirectory = (bootstrap: ReadonlyArray<BrokerAddress>): BrokerDirectory => {
  let brokers: ReadonlyMap<number, BrokerAddress> = new Map()
  let controllerId = -1
  let lastGood: BrokerAddress | undefined
  return {
    learn: (answer) => {
      // A broker that has just started may not know of any yet, itself included.
      if (answer.brokers.length === 0) return
      brokers = new Map(answer.brokers.map(({ host, id, port }) => [id, { host, port }]))
      controllerId = answer.controllerId
    },
    addressOf: (broker) => brokers.get(broker),
    controller: () => brokers.get(controllerId),
    candidates: () => {
      const all = [...(lastGood === undefined ? [] : [lastGood]), ...brokers.values(), ...bootstrap]
      return [...new Map(all.map((address) => [formatAddress(address), address])).values()]
    },
    answered: (address) => {
      lastGood = address
    }
  }
}
