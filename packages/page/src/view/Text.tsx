/** JSON in its colours. */
import type { Line } from "../json.ts"

export const Text = ({ line }: { readonly line: Line }) => (
  <>
    {line.map(({ kind, text }, i) => (
      <span key={i} class={kind}>
        {text}
      </span>
    ))}
  </>
)
