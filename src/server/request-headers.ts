import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { limits } from '../core/limits.ts';

/** What the headers of a command say: how a repetition is known, and what the sender has seen. Refusal: `invalid_request`. */
export function commandHeaders(headers: Headers): { readonly idempotencyKey: string | undefined; readonly expectedRevision: number | undefined } | Refusal {
  const idempotencyKey = headers.get('idempotency-key') ?? undefined;
  if (idempotencyKey !== undefined && !visible.test(idempotencyKey)) {
    return refuse('invalid_request', `the header Idempotency-Key has 1 to ${limits.clientIdCharsMax} visible ASCII characters and no space; it is sent once`, { header: 'Idempotency-Key' });
  }
  const expectedRevision = revisionOf(headers.get('if-match'));
  return isRefusal(expectedRevision) ? expectedRevision : { idempotencyKey, expectedRevision };
}

const visible = new RegExp(`^[\\x21-\\x7e]{1,${limits.clientIdCharsMax}}$`);

function revisionOf(ifMatch: string | null): number | undefined | Refusal {
  if (ifMatch === null) return undefined;
  const match = /^(?:"(\d{1,15})"|(\d{1,15}))$/.exec(ifMatch.trim());
  if (match !== null) return Number(match[1] ?? match[2]);
  return refuse('invalid_request', 'the header If-Match is the revision that you have seen, as "12" or 12: one, and no weak one (W/)', { header: 'If-Match' });
}

/** Whether the client asks for a stream of events rather than a reply. */
export function wantsEventStream(headers: Headers): boolean {
  const accepted = (headers.get('accept') ?? '').toLowerCase().split(',').map((part) => part.split(';').map((piece) => piece.trim()));
  return accepted.some(([type, ...parameters]) => type === 'text/event-stream' && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter)));
}

/** The token of `Authorization: Bearer …`; null: there is none. */
export function bearerToken(headers: Headers): string | null {
  return /^bearer +([\x21-\x7e]+) *$/i.exec(headers.get('authorization') ?? '')?.[1] ?? null;
}
