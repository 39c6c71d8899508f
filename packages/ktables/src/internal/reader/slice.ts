/** How long a reader may keep the event loop, and how often it asks. */

/** Milliseconds. */
export const SLICE = 4
/** Records between two looks at the clock. */
export const STRIDE = 64
