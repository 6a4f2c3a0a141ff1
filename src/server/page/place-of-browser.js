// @ts-check

const waitMs = 20_000;

/**
 * Where the browser is; it asks the person first. What went wrong is said in words.
 *
 * @returns {Promise<{ latitude: number, longitude: number, accuracyMetres: number } | { problem: string }>}
 */
export function placeOfBrowser() {
  return new Promise((resolve) => {
    if (!('geolocation' in navigator)) {
      resolve({ problem: 'This browser cannot tell where it is. Name a place instead.' });
      return;
    }
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve({ latitude: rounded(coords.latitude), longitude: rounded(coords.longitude), accuracyMetres: Math.round(coords.accuracy) }),
      (error) => resolve({ problem: `${error.code === error.PERMISSION_DENIED ? 'The browser was not allowed to say where it is.' : 'The browser could not find out where it is.'} Name a place instead, or decline.` }),
      { timeout: waitMs, maximumAge: 60_000 },
    );
  });
}

/** To about ten metres. @param {number} degrees */
function rounded(degrees) {
  return Math.round(degrees * 10_000) / 10_000;
}
