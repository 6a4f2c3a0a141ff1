import { canonicalJson, type JsonObject } from '../json.ts';
import type { Accept } from './transition.ts';

export interface SettingsCommand {
  /** A person's title; null takes it away. */
  readonly title?: string | null;
  readonly metadata?: JsonObject;
  readonly archived?: boolean;
}

export interface SettingsReply {
  readonly revision: number;
}

/** Title, metadata and archive: kept beside the history, so that they never refuse anybody's decision. What is as asked already is no entry. */
export function acceptSettings({ title, metadata, archived }: SettingsCommand): Accept<SettingsReply> {
  return (draft) => {
    if (title !== undefined && title !== draft.session.title) draft.append({ kind: 'title-set', title, by: 'person' });
    if (metadata !== undefined && canonicalJson(metadata) !== canonicalJson(draft.session.metadata)) draft.append({ kind: 'metadata-set', metadata });
    if (archived !== undefined && archived !== draft.session.archived) {
      draft.append({ kind: 'archived-set', archived });
      // What came while it was archived waits no longer.
      draft.startDelivery();
    }
    return { revision: draft.session.revision };
  };
}

/** A title made by a model; it never overwrites a person's. */
export function acceptGeneratedTitle(title: string): Accept<SettingsReply> {
  return (draft) => {
    if (draft.session.titleBy !== 'person') draft.append({ kind: 'title-set', title, by: 'generated' });
    return { revision: draft.session.revision };
  };
}
