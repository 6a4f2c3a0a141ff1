import type { Identity } from './identity.ts';
import type { JsonValue } from './json.ts';

/** A value of the conversation's own state was set or deleted. It is of the timeline, so it follows rewinding, restoring and forking. */
export interface StateChanged {
  readonly kind: 'state-changed';
  readonly scope: 'conversation';
  readonly key: string;
  /** Absent where it was deleted. */
  readonly value?: JsonValue;
  readonly deleted?: true;
  readonly expiresAtMs?: number;
  readonly by: 'tool' | 'api';
  /** The turn that was open. */
  readonly turnId?: string;
  /** The call whose tool wrote it. */
  readonly callKey?: string;
  readonly actor?: Identity;
}
