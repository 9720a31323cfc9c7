import { attachmentArgs } from '../cni/config.ts';
import type { Call } from '../cni/runner.ts';

/** How a call waits for what is not there yet. */
export type Waiting = {
  /**
   * Lets time pass before the next look, the longer the more has passed since `began` (performance.now()), so that many
   * that wait for long take little. Throws what ends the call: in the agent, that its caller has gone.
   */
  pause(began: number): Promise<void>;
  /**
   * How long may the call wait, in seconds, where `key` of its config asks for so many? In the agent, an annotation
   * (`args.cni`) gets what the node allows at most, and a warning in the log.
   */
  seconds(key: string, asked: number): number;
};

/** A look comes late by this part of the wait, within limits. */
const PAUSE_SHARE = 0.1;
const SHORTEST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** How this call waits. */
export function waitingOf({ request, pacing, log }: Call): Waiting {
  const { pause = sleep, annotationSeconds = Number.POSITIVE_INFINITY } = pacing;
  return {
    pause: (began) => {
      const share = PAUSE_SHARE * (performance.now() - began);
      return pause(Math.min(Math.max(share, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS));
    },
    seconds: (key, asked) => {
      const isLimited = asked > annotationSeconds && Object.hasOwn(attachmentArgs(request.document), key);
      if (!isLimited) return asked;
      log.warn(`args.cni.${key}: ${asked} s is more than this node allows; it waits ${annotationSeconds} s`);
      return annotationSeconds;
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
