/**
 * Where tables keep what they have read, so that a process that starts again reads only what is new.
 *
 * A checkpoint is used where its table can prove that what is in it is still in the log, and is a proven part of it; otherwise
 * the topic is read from its start, as without one. Losing a checkpoint loses nothing.
 *
 * **When to use**
 *
 * `layerFileSystem` where a directory outlives the process: a machine, a container with a volume. `layerMemory` in tests.
 *
 * **Example** (Keep checkpoints in a directory)
 *
 * ```ts
 * import { CheckpointStore } from "effect-ktables"
 *
 * export const checkpoints = CheckpointStore.layerFileSystem("/var/lib/prices/checkpoints")
 * ```
 *
 * @since 0.1.0
 */
import { Context, Layer } from "effect"
import * as FileStore from "./internal/checkpoint/fileStore.ts"
import * as MemoryStore from "./internal/checkpoint/memoryStore.ts"
import type { Service } from "./internal/checkpoint/store.ts"

export { type Checkpoint, CheckpointError, type Replacement, type Service } from "./internal/checkpoint/store.ts"

/**
 * A store of checkpoints.
 *
 * **Details**
 *
 * A store of one's own has to keep what `Checkpoint` says of each method: bytes that come back as they were written, in one
 * piece or cut short at any place; a replacement that is there whole or not at all; one writer at a time as far as it can see.
 * Nothing breaks where it fails to: a table reads only what is as it was written, by one writer, and proves it against the
 * log.
 *
 * @category services
 * @since 0.1.0
 */
export class CheckpointStore extends Context.Service<CheckpointStore, Service>()("effect-ktables/CheckpointStore") {}

/**
 * Checkpoints as files of a directory, for Node, Bun and Deno.
 *
 * **Details**
 *
 * The directory is made when it is first needed, with mode 0700. Of each checkpoint there are `<name>.ckpt`, with mode 0600:
 * the records' raw keys and values; `<name>.lock`, which names the process that writes it; and while it is merged or written
 * from scratch `<name>.next`. Characters other than those of topics' names are escaped as in URLs. To delete a checkpoint, delete
 * `<name>.ckpt`, at best while no process has it open.
 *
 * One process writes at a time. A second one reads what is there when it starts, and writes nothing. A process that was
 * killed on this machine has its lock taken over at once; one on another machine, or in another container, once nobody has
 * touched the lock for 15 seconds.
 *
 * What is saved is on disk when it counts as saved (`fdatasync`, and for a replaced file `fsync` of it and its folder).
 *
 * **Gotchas**
 *
 * Nothing in the files is encrypted: who may read them may read the topic.
 *
 * **Example** (A directory that the environment names)
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { CheckpointStore } from "effect-ktables"
 *
 * export const checkpoints = Layer.unwrap(
 *   Effect.map(Config.String("CHECKPOINTS"), CheckpointStore.layerFileSystem)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFileSystem = (directory: string): Layer.Layer<CheckpointStore> =>
  Layer.effect(CheckpointStore, FileStore.make(directory))

/**
 * Checkpoints in the memory of this process: for tests, and for a process that makes tables again and again.
 *
 * **Details**
 *
 * They lie in `files`, by name, and outlive the layer where the map is the caller's.
 *
 * **Example** (Start a table twice in a test)
 *
 * ```ts
 * import { CheckpointStore } from "effect-ktables"
 *
 * const files = new Map<string, Uint8Array>()
 *
 * export const before = CheckpointStore.layerMemory(files)
 * export const afterwards = CheckpointStore.layerMemory(files)
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (files: Map<string, Uint8Array> = new Map()): Layer.Layer<CheckpointStore> =>
  Layer.sync(CheckpointStore, () => MemoryStore.make(files))
