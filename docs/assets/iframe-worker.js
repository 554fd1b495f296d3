// Search runs in a web worker, which browsers refuse to a page that is opened from a folder (file:). There, and only
// there, a hidden frame runs the same script. The theme asks for this file: see the plugin `offline` in mkdocs.yml.
(() => {
  if (location.protocol !== "file:") return;
  window.Worker = class extends EventTarget {
    onmessage = null;

    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.frame = frame;
      window.addEventListener("message", (event) => {
        if (event.source !== frame.contentWindow) return;
        const copy = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(copy);
        this.onmessage?.(copy);
      });
      this.ready = new Promise((resolve) => {
        const inner = frame.contentDocument;
        const bridge = inner.createElement("script");
        bridge.textContent = `
          postMessage = (data) => parent.postMessage(data, "*");
          importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done) => {
            const script = document.createElement("script");
            script.src = url;
            script.onload = done;
            document.body.append(script);
          })), Promise.resolve());`;
        const worker = inner.createElement("script");
        worker.src = new URL(url, document.baseURI);
        worker.onload = resolve;
        inner.body.append(bridge, worker);
      });
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
})();
