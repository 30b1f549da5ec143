// The page at /docs: Swagger UI, in the colours of the page at /.

import { isDark, startTheme } from "./theme.mjs";

startTheme(() => document.documentElement.classList.toggle("dark-mode", isDark())); // the name is Swagger UI's

const { SwaggerUIBundle } = window;
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
