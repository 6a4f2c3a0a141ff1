import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';

type Parts = AsyncGenerator<LanguageModelV4StreamPart, void, undefined>;

/**
 * The parts as a stream: each is made when it is asked for. An abort of `outer` errors the stream at once with the signal's
 * reason, as a provider's stream does, whatever the parts wait for. `partsOf` is given a signal that is also aborted when
 * the reader cancels.
 */
export function streamOf(partsOf: (signal: AbortSignal) => Parts, outer?: AbortSignal): ReadableStream<LanguageModelV4StreamPart> {
  const ending = new AbortController();
  const parts = partsOf(ending.signal);
  const listening = new AbortController();
  return new ReadableStream<LanguageModelV4StreamPart>({
    start(controller) {
      const end = (): void => {
        ending.abort(outer?.reason);
        controller.error(outer?.reason);
      };
      if (outer?.aborted === true) end();
      else outer?.addEventListener('abort', end, { once: true, signal: listening.signal });
    },
    async pull(controller) {
      const { done, value } = await parts.next();
      if (ending.signal.aborted) return; // errored or cancelled meanwhile
      if (done !== true) return controller.enqueue(value);
      listening.abort(); // the outer signal may live much longer
      controller.close();
    },
    cancel(reason) {
      listening.abort();
      ending.abort(reason);
    },
  }, { highWaterMark: 0 });
}
