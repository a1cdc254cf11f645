/** How a proxy treats what it forwards. */
export interface Weather {
  /** Each chunk is this late. */
  delayMs: number;
  /** Up to this much more, drawn anew for each chunk; the order of a direction is kept. */
  jitterMs: number;
  /** A direction in which nothing moves; the connection stays open. */
  stalled: 'in' | 'out' | 'both' | null;
  /** New connections are refused. */
  refusing: boolean;
}

/** Stands before a program's listening port: who wants to reach it comes through here. */
export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  weather(weather: Partial<Weather>): void;
  /** Cuts all open connections after this many more bytes each, in the middle of whatever is under way. */
  cut(afterBytes: number): void;
  /** Breaks the next chunk of all open connections: it is lost, comes twice, comes after the next one, or has a bit flipped. */
  mangle(how: 'lost' | 'doubled' | 'swapped' | 'flipped'): void;
  /** Fair weather. */
  heal(): void;
}
