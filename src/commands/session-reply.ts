import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';

/** A session as it is kept in the reply to a request: without what somebody said, which may be redacted before the reply is given again. */
export function withoutContent(session: Session): Session {
  return { ...session, title: null, titleBy: null, preview: null, metadata: {} };
}

/** A session of a reply that is given again: as it was then, but for title, preview and metadata, which are those that it has now; none where it is gone. */
export async function withPresentContent(store: Store, kept: Session): Promise<Session> {
  const now = await store.readSession({ tenant: kept.tenant, id: kept.id });
  if (now === null) return withoutContent(kept);
  const { title, titleBy, preview, metadata } = now;
  return { ...kept, title, titleBy, preview, metadata };
}
