/**
 * What the tables and writers of one client see of a topic: whoever describes it first saves the others from going by an
 * older view. A writer with an older view would put keys where they no longer belong.
 */
import { Effect, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"

type Listener = (description: KafkaClient.TopicDescription) => void

/** By client and topic, while somebody listens. */
const listeners = new WeakMap<KafkaClient.Service, Map<string, Set<Listener>>>()

/** Hands a description to all of the client's listeners; it costs nothing where there are none. */
export const report = (client: KafkaClient.Service, description: KafkaClient.TopicDescription): void => {
  const listening = listeners.get(client)?.get(description.topic)
  if (listening !== undefined) for (const listener of listening) listener(description)
}

/** Calls `listener` with every description that is reported, its own ones included, until the scope closes. */
export const listen = (
  client: KafkaClient.Service,
  topic: string,
  listener: Listener
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        let byTopic = listeners.get(client)
        if (byTopic === undefined) listeners.set(client, (byTopic = new Map()))
        let listening = byTopic.get(topic)
        if (listening === undefined) byTopic.set(topic, (listening = new Set()))
        listening.add(listener)
        return { byTopic, listening }
      }),
      ({ byTopic, listening }) =>
        Effect.sync(() => {
          listening.delete(listener)
          if (listening.size === 0 && byTopic.get(topic) === listening) byTopic.delete(topic)
        })
    )
  )
