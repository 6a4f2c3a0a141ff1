import { canonicalJson, type JsonObject } from '../json.ts';
import type { SimulatorSettings } from '../simulation-entry.ts';
import type { Accept } from './transition.ts';

export interface SettingsCommand {
  /** A person's title; null takes it away. */
  readonly title?: string | null;
  readonly metadata?: JsonObject;
  readonly archived?: boolean;
  /** Who plays the user; null: nobody does. */
  readonly simulator?: SimulatorSettings | null;
}

export interface SettingsReply {
  readonly revision: number;
}

/** Title, metadata, archive and simulated user: kept beside the history, so that they never refuse anybody's decision. What is as asked already is no entry; a title that a person sets is a person's from then on, and so is that there is none. */
export function acceptSettings({ title, metadata, archived, simulator }: SettingsCommand): Accept<SettingsReply> {
  return (draft) => {
    const isPersons = draft.session.titleBy === 'person';
    if (title !== undefined && (title !== draft.session.title || !isPersons)) draft.append({ kind: 'title-set', title, by: 'person' });
    if (metadata !== undefined && canonicalJson(metadata) !== canonicalJson(draft.session.metadata)) draft.append({ kind: 'metadata-set', metadata });
    if (simulator !== undefined && !isSame(draft.session.simulator, simulator)) draft.append({ kind: 'simulator-set', simulator });
    if (archived !== undefined && archived !== draft.session.archived) {
      draft.append({ kind: 'archived-set', archived });
      // What came while it was archived waits no longer.
      draft.startDelivery();
    }
    return { revision: draft.session.revision };
  };
}

function isSame(present: SimulatorSettings | null, asked: SimulatorSettings | null): boolean {
  if (present === null || asked === null) return present === asked;
  return present.enabled === asked.enabled && present.persona === asked.persona && present.maxTurns === asked.maxTurns;
}
